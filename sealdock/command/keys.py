"""`sealdock keyd`: unlock the key process after a start, and see how it stands."""

from __future__ import annotations

from pathlib import Path

import click

from core.errors import Exit
from sealdock.command.found import root_secret
from sealdock.wiring import Station


@click.group()
def keyd() -> None:
    """Speak with the key process."""


@keyd.command()
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, path_type=Path),
    help="First line is the passphrase or PIN.",
)
@click.pass_obj
def unlock(settings: Path, passphrase_file: Path | None) -> None:
    """Unlock the key process with the root's passphrase or PIN; docking never waits for it, watching does."""
    station = Station.load(settings)
    secret = root_secret(station.settings.keyd.root, passphrase_file, confirm=False)
    station.keyd("console").unlock(secret)
    click.echo("Unlocked. Footage can be watched until the key process stops.")


@keyd.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Say whether footage can be watched: 0 unlocked, 1 locked."""
    unlocked = Station.load(context.obj).keyd("console").status().is_unlocked
    click.echo("unlocked" if unlocked else "locked: run `sealdock keyd unlock`")
    context.exit(Exit.YES if unlocked else Exit.NO)
