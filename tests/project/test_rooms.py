"""The rooms of the service: which may import which, as CONTRIBUTING.md lists them; no circles."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service" / "superpixel_service"
KERNELS = ROOT / "kernels" / "superpixel_kernels"
PACKAGES = {"superpixel_service": SERVICE, "superpixel_kernels": KERNELS, "benchmarks": ROOT / "benchmarks"}


def allowed_imports() -> dict[str, set[str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = text.split("```rooms\n")[1].split("```")[0]
    rooms = {}
    for line in block.splitlines():
        room, _, others = line.partition("->")
        rooms[room.strip()] = set(others.split())
    return rooms


def imported_modules(file: Path, *, when_loaded: bool = False) -> Iterator[str]:
    """Every module that the file imports; for `from a import b` both a and a.b.

    `when_loaded`: only by statements of the module itself, not inside functions and classes.
    """
    tree = ast.parse(file.read_text())
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str | None:
    """The room of a module of ours; "kernels" and "kernels.codec" count as rooms."""
    package, *rest = module.split(".")
    if package == "superpixel_kernels":
        return "kernels.codec" if rest[:1] == ["codec"] else "kernels"
    if package != "superpixel_service" or not rest:
        return None
    is_module = (SERVICE / rest[0]).is_dir() or (SERVICE / f"{rest[0]}.py").exists()
    return rest[0] if is_module else None


def imported_rooms(file: Path) -> set[str]:
    rooms = {found for module in imported_modules(file) if (found := room_of(module)) is not None}
    return rooms - {"kernels"} if rooms >= {"kernels", "kernels.codec"} and _codec_alone(file) else rooms


def _codec_alone(file: Path) -> bool:
    """Whether all that the file imports of the kernels is the codec."""
    names = [module for module in imported_modules(file) if module.startswith("superpixel_kernels.")]
    return all(name.split(".")[1] == "codec" for name in names)


def test_every_import_is_allowed() -> None:
    allowed = allowed_imports()
    for file in sorted(SERVICE.rglob("*.py")):
        room = file.relative_to(SERVICE).with_suffix("").parts[0]
        if room == "pb":
            continue
        assert room in allowed, f"CONTRIBUTING.md does not list the room {room}"
        assert imported_rooms(file) - allowed[room] - {room} == set(), f"{file} must not import these rooms"


def test_the_list_names_only_rooms_and_imports_that_exist() -> None:
    used: dict[str, set[str]] = {room: set() for room in allowed_imports()}
    for file in SERVICE.rglob("*.py"):
        room = file.relative_to(SERVICE).with_suffix("").parts[0]
        if room != "pb":
            used[room] |= {
                found for module in imported_modules(file) if (found := room_of(module)) is not None
            }
    for room, others in allowed_imports().items():
        assert others - used[room] == set(), f"{room} does not import these; remove them from the list"


def test_rooms_form_no_circle() -> None:
    list(TopologicalSorter(allowed_imports()).static_order())


@pytest.mark.parametrize("package", PACKAGES)
def test_files_form_no_circle(package: str) -> None:
    folder = PACKAGES[package]

    def name_of(file: Path) -> str:
        parts = (package, *file.relative_to(folder).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    files = {name_of(file): file for file in folder.rglob("*.py") if "pb" not in file.parts}
    graph = {
        name: {module for module in imported_modules(file) if module in files and module != name}
        for name, file in files.items()
    }
    for name, modules in graph.items():
        # A module of a package imports the package first; the package's own imports are not its.
        graph[name] = {module for module in modules if not name.startswith(f"{module}.")}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_kernels_import_nothing_of_the_service() -> None:
    for file in KERNELS.rglob("*.py"):
        assert not [module for module in imported_modules(file) if module.startswith("superpixel_service")]
