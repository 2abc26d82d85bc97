"""Write, or check, the Python code of the contract.

    python protos/generate.py            write service/superpixel_service/pb/
    python protos/generate.py --check    change nothing; fail if the checked-in code differs from the contract
                                         or if `buf lint` or `buf format` reports anything

Needs the packages of the `dev` dependency group; no network.
"""

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = PROTOS.parent / "service" / "superpixel_service" / "pb"
CONTRACT = "superpixel/v1/superpixel.proto"
STORES = "superpixel/v1/stores.proto"
MODULE = re.compile(r"\bsuperpixel\.v1(?=\.(?:superpixel|stores)_pb2| import)")
UNTYPED = re.compile(r"^import google\.rpc\S+$", re.MULTILINE)
HEADER = '"""Generated from protos/ by protos/generate.py."""\n'


def generate(target: Path) -> None:
    """Write the code into the empty folder `target`, in the form that is checked in."""
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"-I{PROTOS}",
        *(f"--plugin={plugin}={_script(plugin)}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        *(f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
        CONTRACT,
        STORES,
    ]
    done = _run(command, PROTOS)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    for path in sorted(target.rglob("*.py*")):
        # protoc's imports would need a top-level package "superpixel". Move the modules into our package; the
        # descriptors keep their names.
        text = MODULE.sub("superpixel_service.pb.superpixel.v1", path.read_text())
        # google.rpc has no py.typed.
        text = UNTYPED.sub(r"\g<0>  # type: ignore[import-untyped]", text) if path.suffix == ".pyi" else text
        path.write_text(text)
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text(HEADER)


def check_generated() -> list[str]:
    """Compare the checked-in code with fresh code; one line per file that differs."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        wanted = {path.relative_to(fresh): path.read_bytes() for path in fresh.rglob("*.py*")}
    found = {
        path.relative_to(PACKAGE): path.read_bytes()
        for path in PACKAGE.rglob("*.py*")
        if path.suffix in {".py", ".pyi"}
    }
    return [
        f"{PACKAGE / name}: differs from protos/; run: python protos/generate.py"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name) != found.get(name)
    ]


def check_style() -> list[str]:
    """Run `buf lint` and `buf format` on the contract; one line per finding."""
    lines = []
    for command in (["lint"], ["format", "--diff", "--exit-code", "--path", "superpixel"]):
        done = _run([_script("buf"), *command], PROTOS)
        if done.returncode != 0:
            lines += (done.stdout + done.stderr).splitlines()
    return lines


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603


def _script(name: str) -> str:
    """Path of a console script of this environment; the environment need not be on PATH."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail on any difference or finding"
    )
    if parser.parse_args().check:
        findings = [*check_generated(), *check_style()]
        print(*findings, sep="\n", file=sys.stderr, end="\n" if findings else "")  # noqa: T201
        return 1 if findings else 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        shutil.rmtree(PACKAGE, ignore_errors=True)
        shutil.copytree(scratch, PACKAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
