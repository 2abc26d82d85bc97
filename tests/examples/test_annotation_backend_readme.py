"""The README of the example of an annotation backend: its commands work, and its tables are complete."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.annotation_backend import images, schema, selections
from examples.annotation_backend.settings import Settings
from fastapi.routing import APIRoute
from pydantic_core import to_jsonable_python

from superpixel_kernels import codec
from tests.examples.annotations import ROOT, environment_of
from tests.examples.process import running_example
from tests.service.harness import running_server

README = (ROOT / "examples" / "annotation_backend" / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table under a heading, without the table's head."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    for line in [line for line in section.splitlines() if line.startswith("|")][2:]:
        yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {name: default for name, default, _ in rows("Settings")}
    settings = {name.upper(): field.get_default() for name, field in Settings.model_fields.items()}
    actual = {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value, separators=",:")
        for name, value in to_jsonable_python(settings).items()
    }
    assert listed == actual


def test_every_endpoint_is_listed() -> None:
    listed = {request.split("?")[0] for request, _ in rows("Endpoints")}
    routes = [*images.router.routes, *selections.router.routes, *selections.masks.routes]
    served = {f"{next(iter(route.methods))} {route.path}" for route in routes if isinstance(route, APIRoute)}
    assert listed == served


def test_every_column_is_listed() -> None:
    listed, table = [], ""
    for name, column, _ in rows("Schema"):
        table = name or table
        listed.append((table, column))
    columns = [
        (table.name, column.name) for table in schema.metadata.tables.values() for column in table.columns
    ]
    assert sorted(listed) == sorted(columns)


@pytest.mark.slow
def test_the_commands_work(tmp_path: Path) -> None:
    (install, start, serve), session, migrate, revision = (block.splitlines() for block in BLOCKS)
    assert install.startswith("pip install .")
    assert start == "superpixel serve &"
    assert serve.split(" && ") == [*migrate, "python -m examples.annotation_backend"]
    assert revision == ['python -m examples.annotation_backend revision "what changed"']

    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "photos").symlink_to(ROOT / "examples" / "photos")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    with running_server() as server:
        environment = environment_of(f"sqlite:///{tmp_path}/annotations.db", server.listen, PATH=path)
        with running_example(
            ["bash", "-c", serve.replace("&& python", "&& exec python")], environment
        ) as address:
            script = "\n".join(session).replace("127.0.0.1:8000", address)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
    (version,) = json.loads(done.stdout)["versions"]
    assert version["name"] == "chelsea.jpg"
    assert codec.decode((tmp_path / "chelsea.spx").read_bytes()).count == version["superpixels"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-postgresql.txt"])
def test_every_requirement_has_a_range(name: str) -> None:
    lines = (ROOT / "examples" / "annotation_backend" / name).read_text().splitlines()
    packages = [line for line in lines if not line.startswith(("#", "-r "))]
    assert packages
    assert all(re.fullmatch(r"[a-z-]+(\[[a-z]+\])?>=[\d.]+,<\d+", line) for line in packages)
