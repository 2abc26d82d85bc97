"""The example of an annotation backend: what it stores, its schema and migrations, a database that fails."""

import copy
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from examples.annotation_backend import database, schema
from examples.annotation_backend.problems import Problem
from examples.annotation_backend.selections import check_selection
from examples.annotation_backend.store import OtherMap
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, inspect

from superpixel_kernels import codec, segment
from superpixel_service.client import exports
from tests.examples.annotations import (
    PROGRAM,
    PostgreSQL,
    environment_of,
    running_backend,
    running_postgresql,
    selection_of,
)
from tests.service.harness import running_server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    url = f"sqlite:///{tmp_path}/annotations.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").url
    opened = database.open_engine(url)
    yield opened
    if request.param == "postgresql":
        with opened.begin() as connection:
            connection.exec_driver_sql("SET lock_timeout = '10s'")
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    opened.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def test_the_migrations_make_the_tables_of_the_schema(engine: Engine) -> None:
    with pytest.raises(database.SchemaOutdated):
        database.check_schema(engine)
    database.migrate(engine)
    database.check_schema(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.migrate(engine)  # there is nothing left to do


def test_the_migrations_can_be_undone(engine: Engine) -> None:
    database.migrate(engine)
    assert tables(engine) == set(schema.metadata.tables)
    with engine.begin() as connection:
        command.downgrade(database.config_for(connection), "base")
    assert tables(engine) == set()
    database.migrate(engine)
    database.check_schema(engine)


MIGRATE_WHEN_ASKED = """
import sys
from examples.annotation_backend import database
engine = database.open_engine(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
database.migrate(engine)
"""


def test_programs_may_migrate_at_once(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", MIGRATE_WHEN_ASKED, url]
    programs = [
        subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment_of(url))
        for _ in range(3)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    for program in programs:
        program.communicate(timeout=500)
    assert [program.returncode for program in programs] == [0, 0, 0]
    database.check_schema(engine)


def test_the_backend_does_not_start_on_an_old_schema(tmp_path: Path) -> None:
    environment = environment_of(f"sqlite:///{tmp_path}/annotations.db")
    ended = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, "run `migrate`" in ended.stderr) == (2, True)
    subprocess.run([*PROGRAM, "migrate"], env=environment, check=True)
    engine = database.open_engine(environment["DATABASE_URL"])
    database.check_schema(engine)
    engine.dispose()


@pytest.mark.slow
def test_a_database_that_is_gone_is_a_503() -> None:
    with (
        running_postgresql() as postgresql,
        running_server() as server,
        running_backend(postgresql.url, server.listen) as backend,
    ):
        path = backend.add_image()
        postgresql.process.send_signal(signal.SIGINT)
        postgresql.process.wait()
        for answer in (backend.call("GET", path), backend.upload()):
            assert (answer.status, "retry-after" in answer.headers) == (503, True)
            assert "postgres" not in answer.problem["detail"]


LABEL_MAP = codec.decode(segment(np.random.default_rng(5).integers(0, 256, (24, 32, 3), np.uint8)).encode(20))
VALID = {
    **selection_of(LABEL_MAP, 3, 9),
    "classes": [{"name": "cat", "color": "#e69f00"}, {"name": "dog", "color": "#56b4e9"}],
    "pixels": [0, 700, 2, 68],
}
ODD_NUMBERS = st.sampled_from([0, 1, -1, 255, 2**31 - 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**64, 1e400, 0.5])
ODD_VALUES = st.one_of(
    ODD_NUMBERS,
    st.integers(),
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.lists(ODD_NUMBERS, max_size=8),
    st.just({}),
)


@st.composite
def changed_selections(draw: st.DrawFn) -> Any:
    """A valid selection with up to four of its values replaced, doubled or left out."""
    selection: Any = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 4))):
        place: Any = selection
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, list) and draw(st.booleans()):
                place.insert(key, draw(ODD_VALUES))
            elif draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(ODD_VALUES)
            break
    return selection


@settings(max_examples=150, deadline=None)
@given(changed_selections())
def test_an_accepted_selection_can_always_be_drawn(selection: Any) -> None:
    status = 422
    try:
        stored = check_selection(json.dumps(selection).encode(), LABEL_MAP)
    except Problem as problem:
        status = problem.status
    except OtherMap:
        assert {
            **selection,
            **{name: VALID[name] for name in ("width", "height", "count", "map")},
        } != selection
    else:
        assert json.loads(stored) == selection
        annotation = exports.Annotation.of_selection(LABEL_MAP, selection)
        assert exports.to_indexed_png(annotation)
    assert status == 422


@given(st.binary(max_size=200))
def test_bytes_that_are_no_selection_are_rejected(body: bytes) -> None:
    with pytest.raises(Problem):
        check_selection(body, LABEL_MAP)
