"""`sealdock vault`: make, verify, prove, export and reindex."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import ClassVar

import click
from sqlalchemy import select

from casework.evidence.viewing import PurposeCode, Rendition, record_view
from casework.paper.kept import keep
from casework.paper.window import Outsiders
from core.clock import stamp, utc_now
from core.durable import create_once
from core.errors import Exit, SealdockError
from sealdock import schema
from sealdock.command.found import root_secret
from sealdock.outside import CONFIRMED
from sealdock.wiring import Station
from vault.audit.outside import uncovered
from vault.log.index import EntryRow, wait_sequenced
from vault.log.index import reindex as replay
from vault.store.keys import Keyring
from vault.store.objects import open_object
from vault.store.root_kind import RootPlace
from webconsole.auth.account import find_account

PIECE = 1 << 20
SEQUENCED_WITHIN_S = 15.0


class UnknownEntryError(SealdockError):
    """An id that the log does not know."""

    code = "sealdock.unknown_entry"
    sentence = (
        "There is no entry {id} on this log. Nothing was written; copy the id from the recording's page."
    )
    exit_code = Exit.NO


class VaultCommands(click.Group):
    """The group; what other modules hold is imported when it is asked for."""

    elsewhere: ClassVar = {"init": "found", "verify": "verify", "restore": "backup"}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted([*super().list_commands(ctx), *self.elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for a name that there is none of."""
        if cmd_name not in self.elsewhere:
            return super().get_command(ctx, cmd_name)
        found = getattr(import_module(f"sealdock.command.{self.elsewhere[cmd_name]}"), cmd_name)
        return found if isinstance(found, click.Command) else None


@click.group(cls=VaultCommands)
def vault() -> None:
    """Make, verify, prove, export, restore and reindex the vault."""


@vault.command()
@click.option(
    "--passphrase-file",
    type=click.Path(exists=True, path_type=Path),
    help="First line is the passphrase or PIN.",
)
@click.option(
    "--recovery", type=click.Path(exists=True, path_type=Path), help="The recovery identity instead."
)
@click.pass_obj
def reindex(settings: Path, passphrase_file: Path | None, recovery: Path | None) -> None:
    """Make the database again from the log; accounts keep their roles and need new passwords if they were lost."""
    station = Station.load(settings)
    schema.upgrade(station.db)
    if recovery:
        keyring = Keyring.from_identity(station.vault, recovery.read_text(encoding="ascii").strip())
    else:
        place = RootPlace.from_settings(station.settings.keyd)
        secret = root_secret(place.kind, passphrase_file, confirm=False)
        keyring = Keyring.opened(station.vault, place.root(station.settings.keys).open(secret))
    found = replay(station.vault, keyring, station.db, station.projections)
    click.echo(f"{found.entries} entries replayed, {found.bodies} private parts opened.")
    if found.unavailable:
        click.echo(
            f"{len(found.unavailable)} private parts could not be opened: {found.unavailable}", err=True
        )


@vault.command()
@click.argument("entry_id", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path), help="Default: ID.tlog-proof here.")
@click.pass_obj
def prove(settings: Path, entry_id: str, out: Path | None) -> None:
    """Write the proof that entry ID is on the log: entry, inclusion proof, checkpoint and cosignatures in one file.

    The earliest checkpoint over the entry that an outsider vouched for is taken; time stamps over it lie beside.
    """
    station = Station.load(settings)
    target = out or Path(f"{entry_id}.tlog-proof")
    kept = keep(station.reader, Outsiders.of(station.settings.anchor), _index(station, entry_id))
    create_once(target, kept.receipt.raw(), mode=0o644)
    click.echo(f"Written to {target}. Check it with `sealdock receipt verify {target} --key KEY`.")
    for token in kept.stamps:
        beside = target.with_name(f"{target.stem}.{token.name}")
        create_once(beside, token.read_bytes(), mode=0o644)
        click.echo(f"  time stamp over its checkpoint: {beside}")
    first, latest = kept.window.first, kept.window.latest
    if first:
        click.echo(f"  {CONFIRMED.format(name=first.name, at=stamp(first.at))}")
    else:
        click.echo(f"  {uncovered([latest] if latest else [], utc_now())}")


@vault.command()
@click.argument("entry_id", metavar="ID")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write.")
@click.option("--as", "username", required=True, help="The account in whose name the original is taken out.")
@click.option("--reason", required=True, help="Why; it goes on the log.")
@click.pass_obj
def export(settings: Path, entry_id: str, out: Path, username: str, reason: str) -> None:
    """Write the original of recording ID to a file; that it was taken out is entered on the log first."""
    station = Station.load(settings)
    index = _index(station, entry_id)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = find_account(session, username)
        if account is None:
            raise click.UsageError(f"there is no account {username}")
        grant_id = record_view(
            session, submitter, account.id, [entry_id], Rendition.ORIGINAL, PurposeCode.TECHNICAL, reason
        )
    submitter.ring()
    grant = wait_sequenced(station.db, grant_id, SEQUENCED_WITHIN_S)
    file_key = station.keyd("console").unwrap(index, grant=grant)
    with (
        open_object(station.vault, index, station.reader.leaf(index), file_key) as source,
        out.open("xb") as target,
    ):
        while piece := source.read(PIECE):
            target.write(piece)
    click.echo(f"{out} holds the original; every byte was authenticated on the way.")


def _index(station: Station, entry_id: str) -> int:
    with station.db.reading() as session:
        index = session.scalar(select(EntryRow.index).where(EntryRow.id == entry_id))
    if index is None:
        raise UnknownEntryError(id=entry_id)
    return index
