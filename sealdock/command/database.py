"""`sealdock db`: the database's schema."""

from __future__ import annotations

from pathlib import Path

import click

from sealdock import schema
from sealdock.wiring import Station


@click.group()
def db() -> None:
    """Look after the database (it can always be made again: `sealdock vault reindex`)."""


@db.command()
@click.pass_obj
def upgrade(settings: Path) -> None:
    """Bring the schema to this program's version."""
    schema.upgrade(Station.load(settings).db)
    click.echo("The database is up to date.")
