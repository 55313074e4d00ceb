"""Alembic's entry: migrate the database that `sealdock db upgrade` opened."""

from typing import Literal

from alembic import context

from core.db import Base, UtcDateTime
from sealdock import wiring  # noqa: F401  importing it registers every table


def _render(kind: str, thing: object, _context: object) -> str | Literal[False]:
    """Our column type by its own name; everything else as Alembic writes it."""
    return "UtcDateTime()" if kind == "type" and isinstance(thing, UtcDateTime) else False


with context.config.attributes["engine"].connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=_render
    )
    with context.begin_transaction():
        context.run_migrations()
