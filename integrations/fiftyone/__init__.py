"""A FiftyOne plugin: superpixels of the samples in view, and detections snapped to superpixels."""

from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types
from superpixel_service.interactive import ObjectFinder

from .converters import snapped, superpixels


class ComputeSuperpixels(foo.Operator):  # type: ignore[misc]  # the package has no types
    """Adds a segmentation with superpixels to each sample in view."""

    @property
    def config(self) -> Any:
        """The operator's name and where it can run."""
        return foo.OperatorConfig(
            name="compute_superpixels",
            label="Compute superpixels",
            dynamic=True,
            allow_delegated_execution=True,
        )

    def resolve_input(self, _: Any) -> Any:
        """The form that the app shows."""
        inputs = types.Object()
        inputs.int("count", label="Superpixels per image", default=400, min=1, max=65535, required=True)
        inputs.str("field", label="Field to write", default="superpixels", required=True)
        return types.Property(inputs, view=types.View(label="Compute superpixels"))

    def execute(self, ctx: Any) -> dict[str, int]:
        """Compute and save."""
        count, name = int(ctx.params.get("count", 400)), ctx.params.get("field", "superpixels")
        finder = ObjectFinder.from_environment()
        done = 0
        for sample in ctx.target_view().iter_samples(autosave=True):
            sample[name] = superpixels(sample.filepath, count, finder)
            done += 1
        _reload(ctx)
        return {"samples": done}


class SnapToSuperpixels(foo.Operator):  # type: ignore[misc]
    """Writes detections whose masks are whole superpixels."""

    @property
    def config(self) -> Any:
        """The operator's name and where it can run."""
        return foo.OperatorConfig(
            name="snap_to_superpixels",
            label="Snap masks to superpixels",
            dynamic=True,
            allow_delegated_execution=True,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """The form that the app shows."""
        inputs = types.Object()
        fields = list(ctx.dataset.get_field_schema(embedded_doc_type=fo.Detections))
        inputs.enum("source", fields, label="Detections", required=True)
        inputs.str("field", label="Field to write", default="snapped", required=True)
        inputs.int("count", label="Superpixels per image", default=1000, min=1, required=True)
        return types.Property(inputs, view=types.View(label="Snap masks to superpixels"))

    def execute(self, ctx: Any) -> dict[str, int]:
        """Compute and save."""
        source, name = ctx.params["source"], ctx.params.get("field", "snapped")
        count = int(ctx.params.get("count", 1000))
        finder = ObjectFinder.from_environment()
        done = 0
        for sample in ctx.target_view().iter_samples(autosave=True):
            if sample[source] is None:
                continue
            picture = finder.open(Path(sample.filepath).read_bytes(), count)
            sample[name] = snapped(sample[source], picture.label_map, picture.count)
            done += 1
        _reload(ctx)
        return {"samples": done}


def _reload(ctx: Any) -> None:
    if not ctx.delegated:
        ctx.trigger("reload_dataset")


def register(plugin: Any) -> None:
    """Tell FiftyOne what the plugin has."""
    plugin.register(ComputeSuperpixels)
    plugin.register(SnapToSuperpixels)
