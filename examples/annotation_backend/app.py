"""A small annotation backend: stores images, their label maps, and what labellers selected on them.

    pip install fastapi uvicorn ../..      the package from this checkout, and what this example needs
    python app.py FOLDER                   SUPERPIXEL_SERVER=HOST:PORT, if it is not 127.0.0.1:50051

PUT /images/NAME               store an image (the body is its bytes) and its label map
GET /images/NAME               the image
GET /images/NAME/map           the label map, for `decode` of the npm package superpixel-map
PUT /images/NAME/selection     store a labeller's selection (the JSON of `Selection.toJSON`)
GET /images/NAME/mask          the selection as an indexed PNG
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client import AsyncClient, SegmentError, exports

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "images")
SERVER = os.environ.get("SUPERPIXEL_SERVER", "127.0.0.1:50051")
app = FastAPI(title="Annotation backend")


def file_of(name: str, ending: str = "", *, new: bool = False) -> Path:
    """Path of one of the image's files; 404 if it does not exist, unless it is `new`."""
    path = FOLDER / (name + ending)
    if not re.fullmatch(r"\w[\w.-]*", name) or not (new or path.exists()):
        raise HTTPException(404, f"there is no {name}{ending}")
    return path


@app.put("/images/{name}", status_code=201)
async def put_image(name: str, request: Request) -> dict[str, int]:
    """Segment, then store. If the server rejects the image, store nothing and return the reason."""
    image, path = await request.body(), file_of(name, new=True)
    try:
        async with AsyncClient(SERVER) as client:
            result = await client.segment(image, areas=64)
    except SegmentError as error:
        raise HTTPException(422 if error.field else 503, error.message) from error
    path.write_bytes(image)
    file_of(name, ".spx", new=True).write_bytes(result.spx)
    return {"width": result.width, "height": result.height, "superpixels": result.count}


@app.get("/images/{name}")
def get_image(name: str) -> FileResponse:
    """Return the image as it was uploaded."""
    return FileResponse(file_of(name))


@app.get("/images/{name}/map")
def get_map(name: str) -> FileResponse:
    """Return the label map, which contains every size of superpixels in a few kilobytes."""
    return FileResponse(file_of(name, ".spx"), media_type="application/octet-stream")


@app.put("/images/{name}/selection", status_code=204)
def put_selection(name: str, selection: dict[str, Any]) -> None:
    """Store a selection; 422 if it does not belong to the label map."""
    label_map = codec.decode(file_of(name, ".spx").read_bytes())
    try:
        exports.Annotation.of_selection(label_map, selection)
    except InvalidParameter as error:
        raise HTTPException(422, str(error)) from error
    file_of(name, ".json", new=True).write_text(json.dumps(selection))


@app.get("/images/{name}/mask")
def get_mask(name: str) -> Response:
    """Return the class of each pixel as an indexed PNG."""
    label_map = codec.decode(file_of(name, ".spx").read_bytes())
    selection = json.loads(file_of(name, ".json").read_text())
    annotation = exports.Annotation.of_selection(label_map, selection)
    return Response(exports.to_indexed_png(annotation), media_type="image/png")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
