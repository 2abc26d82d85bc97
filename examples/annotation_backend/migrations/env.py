"""Run by alembic, with the connection and the tables that `database.py` passes."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes["metadata"],
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite can alter few things in place
    compare_type=True,
)
context.run_migrations()
