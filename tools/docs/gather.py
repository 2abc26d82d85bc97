"""Copy the project's Markdown files, and the files that they link to, to one folder for mkdocs.

The folder has the same layout as the project, so links between pages need no change. A link to a source that
has a reference page becomes a link to that page. Other files are copied. A link to a folder becomes a link to
its README.
"""

import functools
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

PATTERNS = ("*.md", "docs/**/*.md", "deploy/runbook/*.md", "*/README.md", "examples/*/README.md")
"""Patterns of the pages."""

STAND_FOR = {
    "protos/superpixel/v1/superpixel.proto": "docs/reference/contract.md",
    "service/superpixel_service/config.py": "docs/reference/settings.md",
    "service/superpixel_service/api/openapi.py": "docs/reference/http-api.md",
    "service/superpixel_service/commands/parser.py": "docs/reference/commands.md",
    "service/superpixel_service/client/__init__.py": "docs/reference/client.md",
    "service/superpixel_service/in_process.py": "docs/reference/in-process.md",
    "service/superpixel_service/interactive.py": "docs/reference/interactive.md",
    "service/superpixel_service/client/exports/__init__.py": "docs/reference/exports.md",
    "service/superpixel_service/client/selection.py": "docs/reference/selection.md",
    "kernels/superpixel_kernels/__init__.py": "docs/reference/engine.md",
    "kernels/superpixel_kernels/codec/__init__.py": "docs/reference/codec.md",
}
"""Sources, and the reference pages generated from them."""

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
# The text of a link may contain an image or code.
_LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\](?:\([^)]*\))?)*\])\((?P<target>[^)\s]+)\)")


class Broken(Exception):
    """A page has a broken link; the message names both."""


def gather(root: Path, target: Path, generated: Mapping[str, str]) -> None:
    """Write the pages of `root`, the files that they link to, and `generated` (path: text) to `target`.

    Raises:
        Broken: the target of a link does not exist, or is a page outside the site.
    """
    shutil.rmtree(target, ignore_errors=True)
    pages = {
        path.relative_to(root).as_posix()
        for pattern in PATTERNS
        for path in root.glob(pattern)
        if path.is_file()
    }
    for page in sorted(pages):
        text = rewrite((root / page).read_text(), functools.partial(_resolve, root, target, pages, page))
        _write(target / page, text)
    for page, text in generated.items():
        _write(target / page, text)


def rewrite(text: str, resolve: Callable[[str], str | None]) -> str:
    """Replace each relative link's target by `resolve`; if that returns None, keep only the link's text."""
    spans = [match.span() for match in _CODE.finditer(text)]

    def replace(match: re.Match[str]) -> str:
        start = match.start("target")
        if any(begin <= start < end for begin, end in spans):
            return match[0]
        label = match["text"]
        if label.startswith("[!"):  # a picture that is a link
            label = f"[{rewrite(label[1:-1], resolve)}]"
        if re.match(r"[a-z]+:|#", match["target"]):
            return f"{label}({match['target']})"
        resolved = resolve(match["target"])
        return label[1:-1] if resolved is None else f"{label}({resolved})"

    return _LINK.sub(replace, text)


def _resolve(root: Path, target: Path, pages: set[str], page: str, link: str) -> str | None:
    path, _, anchor = link.partition("#")
    wanted = PurePosixPath(os.path.normpath(PurePosixPath(page).parent / path))
    source = root / wanted
    if ".." in wanted.parts or not source.exists():
        raise Broken(f"{page}: links to {link}, which does not exist")
    if source.is_dir():
        readme = f"{wanted}/README.md"
        return _relative(readme, page) if readme in pages else None
    if (stands_for := STAND_FOR.get(str(wanted))) is not None:
        return _relative(stands_for, page)
    if wanted.suffix == ".md":
        if str(wanted) not in pages:
            raise Broken(f"{page}: links to {link}, which is not a page of the site")
        return _relative(str(wanted), page) + (f"#{anchor}" if anchor else "")
    (target / wanted).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target / wanted)
    return _relative(str(wanted), page)


def _relative(path: str, page: str) -> str:
    return os.path.relpath(path, PurePosixPath(page).parent)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
