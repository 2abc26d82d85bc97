"""The database connection, and its schema's version."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from .schema import metadata

_MIGRATIONS = Path(__file__).with_name("migrations")
_MIGRATION_LOCK = 7_391_274_001  # any number that no other program takes in the same database


class SchemaOutdated(Exception):
    """The database does not have the schema that this version of the backend needs."""


def open_engine(url: str) -> Engine:
    """Open a pool of connections.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, pool_pre_ping=True, pool_size=16, max_overflow=0, pool_timeout=10.0)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: sqlite3 leaves out those of DDL
    for pragma in ("busy_timeout=10000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _keep_a_log(connection)


def _keep_a_log(connection: sqlite3.Connection) -> None:
    # For this change SQLite does not wait for another program that makes it at the same time.
    end = time.monotonic() + 10.0
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # The lock at once, rather than at the first change: two migrations must not both find the old schema.
    alone = connection.get_execution_options().get("alone", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`. Several programs may do so at once."""
    with engine.execution_options(alone=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        command.upgrade(config_for(connection), revision)


def write_revision(engine: Engine, message: str) -> None:
    """Write a new migration: the difference between the database and `schema.py`. Read it before use."""
    with engine.begin() as connection:
        command.revision(config_for(connection), message, autogenerate=True)


def check_schema(engine: Engine) -> None:
    """Raise SchemaOutdated unless the schema is the newest."""
    newest = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != newest:
        raise SchemaOutdated(f"the database has schema {found}, this backend needs {newest}: run `migrate`")


def config_for(connection: Connection) -> Config:
    """Alembic's settings for a connection within a transaction."""
    config = Config(attributes={"connection": connection, "metadata": metadata})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
