"""The environment of the benchmarks has what they import."""

import re
import sys
import tomllib

from tests.project.test_rooms import ROOT, imported_modules

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-contrib-python-headless",
    "skimage": "scikit-image",
    "grpc": "grpcio",
}
OURS = {"benchmarks", "superpixel_kernels", "superpixel_service", "protos"}


def imported(module: str, seen: set[str]) -> set[str]:
    """Packages that a module of `benchmarks` imports when it is loaded, also by others of its modules."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if module in seen or not file.is_file():
        return set()
    seen.add(module)
    found: set[str] = set()
    for name in imported_modules(file, when_loaded=True):
        found |= {name.partition(".")[0]} | imported(name, seen)
    return found


def test_each_package_is_installed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    modules = re.findall(r"\$\(BENCH\)/bin/python -m (benchmarks\S*)", makefile)
    assert len(modules) > 5
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["web"]]
    for file in ("requirements.txt", "requirements-build.txt"):
        lines += (ROOT / "benchmarks" / file).read_text().splitlines()
    there = {
        found[0].lower().replace("_", "-") for line in lines if (found := re.match(r"[A-Za-z0-9._-]+", line))
    }
    for module in modules:
        entry = f"{module}.__main__" if (ROOT / module).is_dir() else module
        names = imported(entry, set()) - OURS - sys.stdlib_module_names
        missing = {DISTRIBUTIONS.get(name, name).replace("_", "-") for name in names} - there
        assert not missing, (module, missing)
