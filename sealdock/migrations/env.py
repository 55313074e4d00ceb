"""Alembic's entry: migrate the database that `sealdock db upgrade` opened."""

from alembic import context

from core.db import Base
from sealdock import wiring  # noqa: F401  importing it registers every table

with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
