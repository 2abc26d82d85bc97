"""Stages *update* and *assign*: SLIC (Achanta 2012) in the gather form of gSLIC (Ren 2015)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ITERATIONS = 3


def base_step(pixels: int) -> int:
    """Grid step S for an image of so many pixels."""
    for step, bound in ((4, 82944), (5, 123904), (6, 173056), (7, 230400)):
        if pixels < bound:
            return step
    return 8


def spatial_weight(compactness: float) -> int:
    """The integer m2 that weighs squared positions against squared colours."""
    return math.floor(20.5 + 8 * compactness)


@dataclass(frozen=True)
class Grid:
    """The cells an image of height x width is divided into."""

    height: int
    width: int

    @property
    def step(self) -> int:
        return base_step(self.height * self.width)

    @property
    def ny(self) -> int:
        return max(1, (self.height + self.step // 2) // self.step)

    @property
    def nx(self) -> int:
        return max(1, (self.width + self.step // 2) // self.step)

    def pixels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """y and x of every pixel, each (height, width)."""
        y, x = np.indices((self.height, self.width))
        return y, x

    def cells(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """cy and cx of every pixel, each (height, width)."""
        y, x = self.pixels()
        return np.minimum(y // self.step, self.ny - 1), np.minimum(x // self.step, self.nx - 1)

    def first_labels(self) -> npt.NDArray[np.int32]:
        """Each pixel's own cell: (height, width)."""
        cy, cx = self.cells()
        return (cy * self.nx + cx).astype(np.int32)


def update(
    planes: npt.NDArray[np.int16], labels: npt.NDArray[np.int32], centers: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Rounded means of L, A, B, 4x, 4y of each label's pixels; a label without pixels keeps its centre.

    planes: (3, height, width); labels: (height, width); centers: (ny*nx, 5), x and y in quarter pixels.
    """
    y, x = np.indices(labels.shape)
    features = np.stack([*planes.astype(np.int64), 4 * x, 4 * y], axis=-1)
    n = np.bincount(labels.ravel(), minlength=len(centers))
    sums = np.zeros(centers.shape, np.int64)
    np.add.at(sums, labels.ravel(), features.reshape(-1, 5))
    updated = centers.copy()
    filled = n > 0
    count = n[filled, np.newaxis]
    updated[filled] = (2 * sums[filled] + count) // (2 * count)
    return updated


def assign(
    planes: npt.NDArray[np.int16], centers: npt.NDArray[np.int32], compactness: float
) -> npt.NDArray[np.int32]:
    """The nearest centre among the 3x3 cells around each pixel's own; ties go to the smallest index."""
    grid = Grid(*planes.shape[1:])
    y, x = grid.pixels()
    cell_y, cell_x = grid.cells()
    m2 = spatial_weight(compactness)
    wide = planes.astype(np.int64)
    wide_centers = centers.astype(np.int64)
    labels = np.full(y.shape, -1, np.int32)
    least = np.full(y.shape, np.iinfo(np.int64).max)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            cy, cx = cell_y + dy, cell_x + dx
            inside = (cy >= 0) & (cy < grid.ny) & (cx >= 0) & (cx < grid.nx)
            index = np.where(inside, cy * grid.nx + cx, 0)
            c = wide_centers[index]
            color = sum((wide[plane] - c[..., plane]) ** 2 for plane in range(3))
            position = (4 * x - c[..., 3]) ** 2 + (4 * y - c[..., 4]) ** 2
            distance = grid.step**2 * color + m2 * position
            nearer = inside & (distance < least)
            labels[nearer] = index[nearer]
            least[nearer] = distance[nearer]
    return labels
