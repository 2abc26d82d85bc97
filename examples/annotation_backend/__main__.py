"""Run the backend, or change its database's schema."""

import argparse

import uvicorn

from .app import build
from .database import SchemaOutdated, check_schema, migrate, open_engine, write_revision
from .settings import Settings


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="annotation_backend", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve HTTP (the default)")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    revision = commands.add_parser("revision", help="write a migration for a change of schema.py")
    revision.add_argument("message", help="what it changes")
    arguments = parser.parse_args()

    settings = Settings()
    engine = open_engine(settings.database_url)
    try:
        if arguments.command == "migrate":
            migrate(engine)
            return 0
        if arguments.command == "revision":
            write_revision(engine, arguments.message)
            return 0
        check_schema(engine)
    except SchemaOutdated as error:
        parser.error(str(error))
    finally:
        engine.dispose()
    uvicorn.run(build(settings), host=settings.bind, port=settings.port, timeout_graceful_shutdown=30)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
