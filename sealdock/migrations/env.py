"""Alembic's entry: migrate the database that `sealdock db upgrade` opened."""

from typing import Literal

from alembic import context

from core.db import Base, UtcDateTime
from sealdock import wiring  # noqa: F401  importing it registers every table
from vault.log.column import GuardedBytes, GuardedJson, GuardedText, GuardedTime

GUARDED = (GuardedBytes, GuardedJson, GuardedText, GuardedTime)


def _render(kind: str, thing: object, _context: object) -> str | Literal[False]:
    """Our own column types by their names; everything else as Alembic writes it."""
    if kind != "type":
        return False
    if type(thing) in GUARDED:
        return f"{type(thing).__name__}()"
    return "UtcDateTime()" if isinstance(thing, UtcDateTime) else False


with context.config.attributes["engine"].connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=_render
    )
    with context.begin_transaction():
        context.run_migrations()
