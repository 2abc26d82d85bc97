"""The page's files, and a copy of them that needs no server."""

import html
import shutil
from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""The page (frontend/page), the package `superpixel-map` (frontend/src) and photographs (examples/photos)."""

PARTS = ("page", "src", "samples")
"""The folders of the page, each below the address of the page."""

HAS_ENGINE = (STATIC / "src" / "engine" / "superpixel.wasm").is_file()
"""Whether the package was built with the engine in WebAssembly (`make wasm`)."""

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",  # blob: for images that the user opens
    "connect-src": "'self'",
    "worker-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
"""The page's Content-Security-Policy."""


def write_static(folder: Path, version: str) -> None:
    """Write the page as plain files, which make superpixels in the browser.

    Args:
        folder: created if it is missing. An earlier copy of the page in it is replaced.
        version: shown on the page.

    Raises:
        FileExistsError: the folder holds other files.
        OSError: the files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in folder.iterdir()}
    if names and not (names <= {"index.html", *PARTS} and (folder / "page" / "main.js").is_file()):
        raise FileExistsError(f"{folder}: holds other files; name an empty folder, or one that is not there")
    for part in PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
        shutil.copytree(STATIC / part, folder / part)
    page = folder / "page" / "index.html"
    text = page.read_text(encoding="utf-8")
    page.unlink()
    policy = "; ".join(f"{name} {value}" for name, value in POLICY.items())
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
    root, charset = '<html lang="en">', '<meta charset="utf-8" />'
    assert text.count(root) == text.count(charset) == 1  # noqa: S101
    text = text.replace(root, f'<html lang="en" data-static="{html.escape(version)}">')
    text = text.replace(charset, f"{charset}\n    {meta}")
    (folder / "index.html").write_text(text, encoding="utf-8")
