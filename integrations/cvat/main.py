"""A nuclio function for CVAT: points and a box in, a mask and a polygon out.

CVAT sends the frame with each click, as base64 in JSON. Its page expects `mask`, rows of 0 and 1 inside
`bounds` (left, top, right, bottom, all inclusive), and `points`, the corners of a polygon.
"""

import base64
import binascii
import json
from typing import Any

import numpy as np

from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client import SegmentError
from superpixel_service.interactive import Box, ObjectFinder, Point, outlines


def init_context(context: Any) -> None:
    """Prepare a worker of the function."""
    context.user_data.finder = ObjectFinder.from_environment()
    context.logger.info("superpixel smart select is ready")


def handler(context: Any, event: Any) -> Any:
    """Answer one call."""
    try:
        answer, status = select(context.user_data.finder, event.body), 200
    except (InvalidParameter, SegmentError, Malformed) as error:
        # CVAT shows the body of an error to the labeller.
        answer, status = {"message": str(error)}, 400
    return context.Response(
        body=json.dumps(answer, separators=(",", ":")),
        headers={},
        content_type="application/json",
        status_code=status,
    )


class Malformed(ValueError):
    """The call is not what CVAT sends."""


def select(finder: ObjectFinder, call: Any) -> dict[str, Any]:
    """The object of a call: its mask within its bounds, and the outline of its largest piece."""
    if isinstance(call, bytes | str):
        call = json.loads(call)
    try:
        image = base64.b64decode(call["image"], validate=True)
        points = [Point(float(x), float(y)) for x, y in call.get("pos_points") or []]
        points += [Point(float(x), float(y), positive=False) for x, y in call.get("neg_points") or []]
        corners = [float(value) for corner in call.get("obj_bbox") or [] for value in corner]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Malformed(f"the call is malformed: {error!r}") from error
    if len(corners) not in (0, 4):
        raise Malformed(f"obj_bbox must be two points, got {call['obj_bbox']}")
    box: Box | None = (corners[0], corners[1], corners[2], corners[3]) if corners else None
    # CVAT sends frames upright, as its page shows them.
    mask = finder.find(image, points, box, upright=False)
    if not mask.any():
        return {"points": [], "mask": [[0]], "bounds": [0, 0, 0, 0]}
    y, x = np.nonzero(mask)
    left, top, right, bottom = int(x.min()), int(y.min()), int(x.max()), int(y.max())
    return {
        "points": [list(point) for point in outlines(mask)[0]],
        "mask": mask[top : bottom + 1, left : right + 1].astype(int).tolist(),
        "bounds": [left, top, right, bottom],
    }
