"""The scorer: a small network that says how much a click means each leaf, and the file that contains it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.smart.arithmetic import Floats
from superpixel_service.client.smart.features import FEATURES

VERSION = 1
"""Changes with the features; weights of another version do not fit."""

LIMIT = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """The weights.

    Attributes:
        layers: (outputs, inputs) weights and (outputs,) biases of each layer; all but the last are followed
            by max(0, x).
        bias: added to the clamped score.
        about: what the file says about its origin.
    """

    layers: tuple[tuple[Floats, Floats], ...]
    bias: float
    about: Mapping[str, Any]

    def __call__(self, features: Floats) -> Floats:
        """Return the score of each column of (FEATURES, n)."""
        values = features
        for index, (weights, biases) in enumerate(self.layers):
            # Added in the order of the inputs: `@` may add in another.
            total = np.repeat(biases[:, np.newaxis], values.shape[1], axis=1)
            for row in range(len(values)):
                total += weights[:, row : row + 1] * values[row]
            values = np.maximum(total, 0.0) if index < len(self.layers) - 1 else total
        scores: Floats = np.minimum(np.maximum(values[0], -LIMIT), LIMIT) + self.bias
        return scores

    @classmethod
    def of(cls, data: Any) -> "Scorer":
        """Check the content of a weights file.

        Raises:
            InvalidParameter: it is none, or of another version.
        """
        if not isinstance(data, Mapping) or data.get("format") != "superpixel-smart-weights":
            raise InvalidParameter("weights", "must be the content of a file that `train-smart` wrote")
        if data.get("version") != VERSION:
            raise InvalidParameter("weights", f"must have version {VERSION}, got {data.get('version')!r}")
        try:
            layers = tuple(
                (np.array(layer["weights"], np.float64), np.array(layer["biases"], np.float64))
                for layer in data["layers"]
            )
            bias = float(data["bias"])
        except (KeyError, TypeError, ValueError):
            raise InvalidParameter("weights", "have a layer that is damaged") from None
        inputs = FEATURES
        for weights, biases in layers:
            fits = weights.ndim == 2 and weights.shape == (len(biases), inputs) and biases.ndim == 1
            if not fits or not np.isfinite(weights).all() or not np.isfinite(biases).all():
                raise InvalidParameter("weights", "have a layer that is damaged")
            inputs = len(biases)
        if inputs != 1 or not layers or not np.isfinite(bias):
            raise InvalidParameter("weights", "have a layer that is damaged")
        return cls(layers, bias, data.get("about", {}))


@cache
def default_scorer() -> Scorer:
    """The scorer that the package contains; the npm package has the same file."""
    path = files("superpixel_service") / "web" / "static" / "src" / "smart" / "weights.json"
    return Scorer.of(json.loads(path.read_bytes()))
