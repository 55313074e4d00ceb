"""`sealdock key`: who signs, who reads, and what to do when a key is lost or in the wrong hands.

Everything here needs vaultd stopped: it holds the log itself until it is done (docs/operations/keys.md says why).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
from sqlalchemy import select

from core.clock import parse_stamp, stamp, utc_now
from core.errors import Exit, SealdockError
from core.settings import RootKind
from sealdock.command.found import credential_advice, pkcs11_option, root_secret
from sealdock.command.option import json_option
from sealdock.wiring import Station
from vault.ceremony.compromise import declare
from vault.ceremony.extra import MAKERS, cosigners, make_extra
from vault.ceremony.past import Past
from vault.ceremony.protocol import STEPS, Present, Protocol, enter_protocol
from vault.ceremony.reading import rotate_recovery, rotate_root
from vault.ceremony.session import Ceremony
from vault.ceremony.signing import rotate_log, rotate_process
from vault.formats.age import Identity, Recipient
from vault.log.outbox import OutboxRow, RowState
from vault.store.keys import bucket_names
from vault.store.recovery import Challenge, ProvenRecovery
from vault.store.root import check_secret
from vault.store.root_kind import RootPlace
from vault.store.token_root import TokenRoot


class StillWaitingError(SealdockError):
    """Submissions under the key that is to go out of force."""

    code = "sealdock.still_waiting"
    sentence = (
        "{count} submissions of {name} wait for their place on the log and would be refused under a new key. Nothing "
        "was changed: start vaultd alone until the outbox is empty, stop it, and give the command again."
    )
    exit_code = Exit.NO


@click.group()
def key() -> None:
    """Hold key ceremonies: list, rotate, give up and make keys."""


@key.command(name="list")
@json_option
@click.pass_obj
def list_keys(settings: Path, as_json: bool) -> None:
    """List every key that the log names, and which are in force."""
    station = Station.load(settings)
    past = Past.read(station.reader)
    rows = [
        {"name": known.name, "key": known.vkey, "entry": known.index, "since": known.time,
         "in_force": known.vkey in past.recovery if known.name == "recovery" else past.current(known.name) == known,
         "compromised_since": past.compromised.get(known.vkey)}
        for known in past.everything()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        state = "in force" if row["in_force"] else "earlier"
        doubt = f", NOT BELIEVED since {row['compromised_since']}" if row["compromised_since"] else ""
        click.echo(f"{row['name']}  entry {row['entry']}  {row['since']}  {state}{doubt}\n  {row['key']}")
    click.echo(f"{len(bucket_names(station.vault))} buckets are wrapped to root and recovery.")


@key.group()
def rotate() -> None:
    """Put another key in the place of one."""


@rotate.command(name="process")
@click.argument("name")
@click.pass_obj
def rotate_one(settings: Path, name: str) -> None:
    """Give the process NAME a new signing key, with what such a process may submit today."""
    station = Station.load(settings)
    _check_nothing_waits(station, name)
    with _held(station) as ceremony:
        vkey = rotate_process(ceremony, name)
    click.echo(f"{name} signs with a new key: {vkey}\nStart the services again.")


@rotate.command(name="log")
@click.pass_obj
def rotate_the_log(settings: Path) -> None:
    """Hand the log over to a new signing key; old receipts stay valid."""
    station = Station.load(settings)
    vault = rotate_log(station.vault, station.settings.keys)
    click.echo(f"The log is signed by a new key.\nkey          {vault.verifier.vkey}")
    click.echo(f"fingerprint  {vault.verifier.fingerprint}")
    click.echo(
        "Publish both beside the old ones, and start all services again. Receipts under the old key stay valid;"
    )
    click.echo("who holds only the old key needs log/handover to check new ones.")


@rotate.command(name="root")
@click.option("--to", "kind", type=click.Choice([kind.value for kind in RootKind]), help="How the new root is kept; "
              "the settings' kind when left out.")  # fmt: skip
@pkcs11_option
@click.option("--old-secret-file", type=click.Path(exists=True, path_type=Path),
              help="First line is the old root's passphrase or PIN.")  # fmt: skip
@click.option("--new-secret-file", type=click.Path(exists=True, path_type=Path),
              help="First line is the new root's passphrase or PIN.")  # fmt: skip
@click.option("--with-recovery", type=click.Path(exists=True, path_type=Path),
              help="A recovery identity, when the old root is lost.")  # fmt: skip
@click.pass_obj
def rotate_the_root(
    settings: Path, kind: str | None, pkcs11: tuple[Path, str] | None,
    old_secret_file: Path | None, new_secret_file: Path | None, with_recovery: Path | None,
) -> None:  # fmt: skip
    """Make a new root key and wrap every bucket to it; goes on where it stopped."""
    station = Station.load(settings)
    now = RootPlace.from_settings(station.settings.keyd)
    place = RootPlace(RootKind(kind) if kind else now.kind, *(pkcs11 or (now.module, now.token)))
    opener, give_up = _old_root(station, now, old_secret_file, with_recovery)
    secret = root_secret(place.kind, new_secret_file)
    check_secret(place.kind, secret)
    with _held(station) as ceremony:
        done = rotate_root(ceremony, opener, place, secret, give_up)
    click.echo(f"{done.buckets} buckets are wrapped to the new root {done.root}. Start the services again.")
    if place.kind is not now.kind:
        click.echo(f'Say in the settings: [keyd] root = "{place.kind.value}"')
    if place.kind is RootKind.CREDENTIAL:
        click.echo(credential_advice(station.settings.keys))
    click.echo("Destroy every copy of the old root, and backups of keys/buckets that are older than this.")


@rotate.command(name="recovery")
@click.option("--recovery-recipient", "recipients", multiple=True, required=True,
              help="age1... of each recovery key from now on; all of them, also those that stay.")  # fmt: skip
@click.option("--secret-file", type=click.Path(exists=True, path_type=Path),
              help="First line is the root's passphrase or PIN.")  # fmt: skip
@click.pass_obj
def rotate_the_recovery(settings: Path, recipients: tuple[str, ...], secret_file: Path | None) -> None:
    """Wrap every bucket to other recovery keys, each of which opens a test object first."""
    station = Station.load(settings)
    now = RootPlace.from_settings(station.settings.keyd)
    root = now.root(station.settings.keys).open(root_secret(now.kind, secret_file, confirm=False))
    with _held(station) as ceremony:
        done = rotate_recovery(ceremony, root, [_tried(text) for text in recipients])
    click.echo(
        f"{done.buckets} buckets are wrapped to {len(recipients)} recovery keys. Start the services again."
    )


@key.command()
@click.argument("name")
@click.option(
    "--since", required=True, help="From when it is not to be believed, UTC: 2026-11-23T14:05:09.000000Z."
)
@click.option("--key", "vkey", help="Which, when it is not the newest: its text from `sealdock key list`.")
@click.pass_obj
def compromise(settings: Path, name: str, since: str, vkey: str | None) -> None:
    """Say on the log that the key NAME (a process, log, root or recovery) is in the wrong hands since then."""
    station, moment = Station.load(settings), _moment(since)
    done = declare(
        station.vault,
        station.settings.keys,
        name,
        moment,
        vkey,
        cosigners(station.settings.keys),
    )
    click.echo(f"The log says that {done.key.vkey} is not believed since {stamp(moment)}.")
    if done.new_key:
        click.echo(f"In force is now {done.new_key}")
    for number, step in enumerate(done.steps, 1):
        click.echo(f"{number}. {step}")


@key.command()
@click.argument("kind", type=click.Choice(sorted(MAKERS)))
@click.pass_obj
def make(settings: Path, kind: str) -> None:
    """Make a second signing key for the log's checkpoints: mldsa44 (after quantum computers) or sm2 (China)."""
    station = Station.load(settings)
    path, vkey = make_extra(station.settings.keys, station.vault, kind)
    click.echo(
        f"{path}\nkey  {vkey}\nPublish the key beside the log's own; it adds a line and replaces nothing."
    )


@key.command()
@click.argument("kind", type=click.Choice(sorted(STEPS)))
@click.option(
    "--present", "people", multiple=True, required=True, help="NAME:ROLE of each person; two at least."
)
@click.option("--place", required=True, help="Where it was held.")
@click.option("--note", default="", help="What was seen or went otherwise.")
@click.pass_obj
def ceremony(settings: Path, kind: str, people: tuple[str, ...], place: str, note: str) -> None:
    """Print the steps of a ceremony of this KIND, enter who was there, and print the protocol to sign by hand."""
    station = Station.load(settings)
    protocol = Protocol(kind, tuple(map(Present.parse, people)), place, note)
    for number, step in enumerate(STEPS[kind], 1):
        click.echo(f"{number}. {step}")
        if sys.stdin.isatty():
            click.confirm("   done?", abort=True, default=True)
    with _held(station) as session:
        leaf = enter_protocol(session, protocol)
    click.echo("")
    click.echo(protocol.page(station.vault, leaf))


def _held(station: Station) -> Ceremony:
    return Ceremony(station.vault, station.settings.keys, cosigners(station.settings.keys))


def _check_nothing_waits(station: Station, name: str) -> None:
    with station.db.reading() as session:
        notes = session.scalars(select(OutboxRow.note).where(OutboxRow.state == RowState.PENDING)).all()
    if count := sum(f'"by":"{name}"' in note for note in notes):
        raise StillWaitingError(count=count, name=name)


def _old_root(
    station: Station, now: RootPlace, secret_file: Path | None, with_recovery: Path | None
) -> tuple[Callable[[], Identity], Callable[[], None]]:
    """What opens the old buckets, and what destroys the old root's key where that is not a file."""
    root = now.root(station.settings.keys)
    if with_recovery is not None:
        text = with_recovery.read_text(encoding="ascii").strip()
        return lambda: Identity.parse(text), lambda: None
    secret = root_secret(now.kind, secret_file, confirm=False)

    def destroy() -> None:
        if isinstance(root, TokenRoot):
            root.destroy_key(secret)

    return lambda: root.open(secret), destroy


def _tried(text: str) -> ProvenRecovery:
    """A recovery key that has opened a test object, here and now."""
    challenge = Challenge.pose(Recipient.parse(text))
    path = Path(f"recovery-{challenge.recipient.text[-8:]}.challenge.age")
    path.write_bytes(challenge.sealed)
    click.echo(f"Where the key {challenge.recipient.text} is, run: age -d -i KEY {path.resolve()}")
    try:
        return challenge.answered(click.prompt("The words that it prints", err=True))
    finally:
        path.unlink()


def _moment(text: str) -> datetime:
    if text == "now":
        return utc_now()
    try:
        return parse_stamp(text)
    except ValueError as cause:
        raise click.UsageError("--since is a time as on the log: 2026-11-23T14:05:09.000000Z") from cause
