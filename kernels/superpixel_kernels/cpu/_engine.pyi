from collections.abc import Callable
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import errors
from superpixel_kernels.guidance import FittedGuidance

class Cancelled(errors.Cancelled): ...

class CancelToken:
    def __init__(self) -> None: ...
    def cancel(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...
    def hold(self, patience: float = 1e6) -> None: ...
    def release(self) -> None: ...
    def begin_step(self) -> None: ...
    @property
    def steps(self) -> int: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def held_seconds(self) -> float: ...

class Workspace:
    def __init__(
        self, threads: int = 0, instruction_set: str = "auto", kept_bytes: int = 268435456
    ) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def instruction_set(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    def free_memory(self) -> None: ...

class Trace(TypedDict):
    color: NDArray[np.int16]
    smooth: NDArray[np.int16]
    centers: list[NDArray[np.int32]]
    assign: list[NDArray[np.int32]]
    base: NDArray[np.int32]
    nodes: NDArray[np.int64]
    edges: NDArray[np.int64]
    edge_levels: NotRequired[NDArray[np.int32]]
    prior_labels: NotRequired[NDArray[np.int32]]
    importance: NotRequired[NDArray[np.int64]]
    merges: NDArray[np.int32]
    rounds: int
    prior_components: NotRequired[int]

def available_instruction_sets() -> list[str]: ...
def segment(
    pixels: NDArray[np.uint8],
    compactness: float,
    workspace: Workspace,
    cancel: CancelToken | None,
    threads: int = 0,
    guidance: FittedGuidance | None = None,
    on_regions: Callable[[int], object] | None = None,
) -> tuple[int, NDArray[np.int32], NDArray[np.int32], dict[str, float], int | None]: ...
def pixel_merges(
    pixels: NDArray[np.uint8],
    base: NDArray[np.int32],
    compactness: float,
    workspace: Workspace,
    cancel: CancelToken | None,
) -> NDArray[np.int32]: ...
def trace(
    pixels: NDArray[np.uint8],
    compactness: float,
    workspace: Workspace,
    guidance: FittedGuidance | None = None,
) -> Trace: ...
def copy_pixels(pixels: NDArray[np.uint8], workspace: Workspace) -> NDArray[np.uint8]: ...
def label_nodes(nodes: int, merges: NDArray[np.int32], count: int) -> NDArray[np.int32]: ...
def lookup(table: NDArray[np.int32], index: NDArray[np.int32], threads: int) -> NDArray[np.int32]: ...
def tree(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def tile(
    crop: NDArray[np.uint8],
    compactness: float,
    step: int,
    window: tuple[int, int, int, int],
    origin: tuple[int, int],
    image_width: int,
    workspace: Workspace,
    cancel: CancelToken | None,
    guidance: FittedGuidance | None = None,
) -> tuple[
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32] | None,
    NDArray[np.int32] | None,
]: ...
def merges_inside(
    merges: NDArray[np.int32], inside: NDArray[np.bool_], early: int
) -> tuple[NDArray[np.int32], int]: ...
def ranks(ascending: NDArray[np.int64], queries: NDArray[np.int64]) -> NDArray[np.int32]: ...

class RegionGraph:
    def __init__(self, regions: int, weighted: bool, hard: bool) -> None: ...
    def count(
        self,
        ids: NDArray[np.int32],
        owned: NDArray[np.int32],
        sums: NDArray[np.int32],
        degrees: NDArray[np.int32],
        edges: NDArray[np.int32],
        importance: NDArray[np.int32] | None,
        prior: NDArray[np.int32] | None,
    ) -> None: ...
    def seal(self) -> None: ...
    def add(
        self,
        ids: NDArray[np.int32],
        owned: NDArray[np.int32],
        sums: NDArray[np.int32],
        degrees: NDArray[np.int32],
        edges: NDArray[np.int32],
        importance: NDArray[np.int32] | None,
        prior: NDArray[np.int32] | None,
    ) -> None: ...
    def merge(
        self, compactness: float, step: int, workspace: Workspace, cancel: CancelToken | None
    ) -> tuple[NDArray[np.int32], int | None]: ...

def tables() -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def grid(width: int, height: int, step: int = 0) -> tuple[int, int, int]: ...
def slic_m2(compactness: float) -> int: ...
def merge_params(compactness: float, step: int) -> tuple[float, float]: ...
def table_slots(edges: int) -> int: ...

SLIC_ITERATIONS: int
EDGES_PER_REGION: int
TILE_MARGIN: int
