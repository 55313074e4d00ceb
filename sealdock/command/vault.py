"""`sealdock vault`: make, verify, prove, export and reindex."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pyrage
from sqlalchemy import select

from casework.viewing import PurposeCode, Rendition, record_view
from core.durable import create_once
from core.errors import Exit, SealdockError
from sealdock import schema
from sealdock.command.option import json_option, key_option, passphrase, trusted_key
from sealdock.wiring import Station
from vault.audit.report import Report
from vault.audit.verify import Progress, verify_vault
from vault.formats.age import Identity
from vault.founding import initialise
from vault.log.index import EntryRow, wait_sequenced
from vault.log.index import reindex as replay
from vault.store.keys import Keyring
from vault.store.objects import open_object
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


@click.group()
def vault() -> None:
    """Make, verify, prove, export and reindex the vault."""


@vault.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--keys", required=True, type=click.Path(path_type=Path), help="Where the secrets go; not in the vault."
)
@click.option(
    "--passphrase-file", type=click.Path(exists=True, path_type=Path), help="First line is the passphrase."
)
@click.option("--recovery-recipient", help="age1... of a recovery key that was made elsewhere (best).")
def init(directory: Path, keys: Path, passphrase_file: Path | None, recovery_recipient: str | None) -> None:
    """Make a new vault in DIRECTORY and print its id and key fingerprint."""
    secret = passphrase(passphrase_file, "Passphrase of the root key", confirm=True)
    made = initialise(directory, keys, secret, recovery_recipient)
    click.echo(f"vault        {made.id}\nkey          {made.vkey}\nfingerprint  {made.fingerprint}")
    click.echo("Publish the key and its fingerprint: with them anybody can check your receipts and packages.")
    if made.recovery_identity:
        click.echo("\nRecovery key. Print it, lock it away off this machine, and clear this screen:")
        click.echo(f"  {made.recovery_identity}")


@vault.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--keys", "key_file", type=click.Path(exists=True, path_type=Path),
              help="An age identity file, or root.age: also prove every plaintext.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(exists=True, path_type=Path), help="For --keys root.age.")
@click.option("--against", multiple=True, type=click.Path(exists=True, path_type=Path),
              help="An earlier checkpoint or receipt that this log must extend; may be repeated.")  # fmt: skip
@key_option
@json_option
@click.pass_context
def verify(
    context: click.Context, directory: Path, key_file: Path | None, passphrase_file: Path | None,
    against: tuple[Path, ...], key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Prove everything in DIRECTORY, without database or settings: 0 proven, 1 wrong, 3 consistent, key unconfirmed."""
    identities = [_identity(key_file, passphrase_file)] if key_file else None
    shown = _progress_line if sys.stderr.isatty() and not as_json else None
    report = verify_vault(directory, trusted_key(key), identities=identities, against=against, progress=shown)
    if shown:
        click.echo(err=True)
    click.echo(json.dumps(report.to_json()) if as_json else _told(report))
    context.exit(report.exit_code)


@vault.command()
@click.option(
    "--passphrase-file", type=click.Path(exists=True, path_type=Path), help="First line is the passphrase."
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
        secret = passphrase(passphrase_file, "Passphrase of the root key")
        keyring = Keyring.unlock(station.vault, station.settings.keys, secret)
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
    """Write the proof that entry ID is on the log: entry, inclusion proof and checkpoint in one file."""
    station = Station.load(settings)
    target = out or Path(f"{entry_id}.tlog-proof")
    create_once(target, station.reader.proof(_index(station, entry_id)), mode=0o644)
    click.echo(f"Written to {target}. Check it with `sealdock receipt verify {target} --key KEY`.")


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


def _identity(path: Path, passphrase_file: Path | None) -> Identity:
    raw = path.read_bytes()
    if raw.startswith(b"age-encryption.org/v1"):
        secret = passphrase(passphrase_file, f"Passphrase of {path}")
        try:
            raw = pyrage.passphrase.decrypt(raw, secret.decode())
        except pyrage.DecryptError as cause:
            raise click.UsageError(f"the passphrase does not open {path}") from cause
    lines = [
        line for line in raw.decode("ascii", "replace").splitlines() if line and not line.startswith("#")
    ]
    if not lines:
        raise click.UsageError(f"{path} holds no age identity")
    return Identity.parse(lines[0].strip())


def _progress_line(progress: Progress) -> None:
    share = progress.entries / max(1, progress.entries_total)
    bar = "#" * int(30 * share)
    click.echo(f"\r[{bar:<30}] {share:4.0%}  {progress.bytes_read / 1e6:,.0f} MB", nl=False, err=True)


def _told(report: Report) -> str:
    lines = [report.sentence]
    lines += [f"  FAILED  {failure.sentence}" for failure in report.failures]
    lines += [f"  note    {notice.sentence}" for notice in report.notices]
    counts = report.counts
    lines.append(
        f"  {counts['entries']} entries, {counts['objects']} recordings ({counts['object_bytes']:,} bytes), "
        f"{counts['opened_objects']} opened and compared"
    )
    return "\n".join(lines)
