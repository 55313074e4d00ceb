"""`sealdock dispose`: letting recordings go, by two people who sign for it themselves."""

from __future__ import annotations

import json
from pathlib import Path

import click

from casework.keeping.retention import evidence_policy
from core.durable import create_once
from core.errors import Exit
from sealdock.certificate_page import page
from sealdock.command.option import json_option
from sealdock.command.request import (
    BUREAU,
    SEQUENCED_WITHIN_S,
    approval_option,
    as_option,
    enter_request,
    out_option,
    past_of,
    write_request,
)
from sealdock.command.retention import due_now, schedule_in_force, tell_preview
from sealdock.wiring import Station
from vault.formats.statement import Statement
from vault.log.index import wait_sequenced
from vault.retention.certificate import Certificate, certify
from vault.retention.chronicle import DISPOSE
from vault.retention.closing import close_bucket
from vault.retention.execution import Hands, carry_out
from vault.retention.past import Past
from vault.retention.rewrapping import submit_rewrap
from vault.sealer import clear
from vault.store.keys import ensure_bucket
from webconsole.auth.account import get_account

AT_ONCE = 250  # recordings of one entry: of each, vaultd looks back along the log before it answers
copy_option = click.option(
    "--copy", "copies", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A copy of the vault's directory in which the same is to be erased; may be repeated.",
)  # fmt: skip


@click.group()
def dispose() -> None:
    """Let recordings go when their time is over, and prove it."""


@dispose.command()
@json_option
@click.pass_context
def preview(context: click.Context, as_json: bool) -> None:
    """What may be disposed of today: 0 something, 1 nothing. What nobody ever viewed or claimed stands apart."""
    station = Station.load(context.obj)
    found = due_now(station, past_of(station))
    tell_preview(found, as_json, "Nothing keeps")
    context.exit(Exit.YES if found.recordings else Exit.NO)


@dispose.command()
@click.argument("recordings", nargs=-1, metavar="[RECORDING]...")
@click.option(
    "--all-due", is_flag=True, help=f"The first {AT_ONCE} that are due and were viewed and attributed."
)
@click.option(
    "--basis", required=True, help="The legal basis, as it stands on the log for ever; names nobody."
)
@out_option
@click.pass_obj
def propose(settings: Path, recordings: tuple[str, ...], all_due: bool, basis: str, out: Path) -> None:
    """Make the request to dispose of recordings, for two people to approve."""
    station = Station.load(settings)
    past = past_of(station)
    if all_due:
        found = due_now(station, past)
        apart = {each.id for each in found.apart}
        recordings = tuple(each.id for each in found.recordings if each.id not in apart)[:AT_ONCE]
    if not 1 <= len(recordings) <= AT_ONCE:
        raise click.UsageError(f"name between 1 and {AT_ONCE} recordings, or --all-due when some are due")
    facts = {"schedule": schedule_in_force(past).entry_id, "basis": basis, "as_of": past.size}
    write_request(out, Statement(DISPOSE, recordings, facts, station.vault.id))


@dispose.command()
@click.argument("request", type=click.Path(exists=True, path_type=Path))
@approval_option
@as_option
@click.pass_obj
def submit(settings: Path, request: Path, approvals: tuple[Path, ...], username: str) -> None:
    """Put an approved disposal on the log; from that entry on nobody is shown the recordings."""
    entry_id = enter_request(Station.load(settings), request, approvals, username, DISPOSE)
    click.echo(f"The disposal is on the log, entry {entry_id}. The sealer carries it out.")


@dispose.command("carry-out")
@click.argument("entry_id", metavar="ID")
@copy_option
@click.pass_obj
def carry_out_now(settings: Path, entry_id: str, copies: tuple[Path, ...]) -> None:
    """Erase what disposal ID names, here and in copies; what the sealer does by itself, for copies that were away."""
    station = Station.load(settings)
    destroy = carry_out(station.vault, station.reader, _place(station, entry_id), hands_of(station, copies))
    wait_sequenced(station.db, destroy, SEQUENCED_WITHIN_S)
    click.echo(f"Erased here and in {len(copies)} copies; entry {destroy} says so.")


@dispose.command()
@click.argument("recording")
@click.option("--bucket", required=True, help="Where its keys go: H-2026-11, K-2026-11, M-2026-11.")
@click.option("--hold", "reason", required=True, help="The hold or link entry that is the reason.")
@as_option
@click.pass_obj
def keep(settings: Path, recording: str, bucket: str, reason: str, username: str) -> None:
    """Take a recording's keys to another bucket, so that the one it lies in can be closed."""
    station = Station.load(settings)
    ensure_bucket(station.vault, bucket)
    place, grant = _place(station, recording), _place(station, reason)
    slots = station.keyd(BUREAU).rewrap(place, bucket, grant=grant)
    submitter = station.submitter(BUREAU)
    with station.db.writing() as session:
        actor = get_account(session, username).id
        entry_id = submit_rewrap(session, submitter, actor, recording, bucket, *slots)
    submitter.ring()
    wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
    click.echo(f"{recording} lies in {bucket} now, entry {entry_id}.")


@dispose.command()
@click.argument("bucket")
@copy_option
@click.pass_obj
def close(settings: Path, bucket: str, copies: tuple[Path, ...]) -> None:
    """Destroy the identity of a bucket in which nothing is left: what lay in it is unreadable from then on."""
    station = Station.load(settings)
    hands = hands_of(station, copies)
    for entry_id in close_bucket(station.vault, station.reader, bucket, hands, station.keyd("sealer")):
        wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
        click.echo(f"Entry {entry_id} says that the identity of {bucket} is gone.")


@dispose.command()
@click.argument("entry_id", metavar="ID")
@json_option
@click.option("--html", type=click.Path(path_type=Path), help="Write a page to print and sign.")
@click.pass_obj
def certificate(settings: Path, entry_id: str, as_json: bool, html: Path | None) -> None:
    """The certificate of disposal ID: what existed, who let it go, what is gone and what that means."""
    station = Station.load(settings)
    made = certify(Past(station.reader), _place(station, entry_id), evidence_policy())
    if html:
        create_once(html, page(made, station.settings.station.bureau).encode(), mode=0o644)
        click.echo(f"Written to {html}.")
    elif as_json:
        click.echo(json.dumps(made.as_json(), ensure_ascii=False))
    else:
        click.echo(_told(made))


def hands_of(station: Station, copies: tuple[Path, ...] = ()) -> Hands:
    """What a disposal is carried out with."""
    return Hands(
        db=station.db, submitter=station.submitter("sealer"), policy=evidence_policy(), derived=station.derived,
        clear=clear, copies=copies,
    )  # fmt: skip


def _place(station: Station, entry_id: str) -> int:
    place = past_of(station).find(entry_id)
    if place is None:
        raise click.UsageError(f"there is no entry {entry_id} on this log")
    return place


def _told(made: Certificate) -> str:
    lines = [f"Certificate of disposal {made.dispose.id} (entry {made.index} of vault {made.vault})"]
    lines += [f"  decided {made.dispose.time}, basis: {made.dispose.facts['basis']}"]
    lines += [f"  approved by account {key.account} with {key.kind} key {key.id}" for key in made.keys]
    lines += [f"  what they signed has SHA-256 {made.statement.digest}"]
    for each in made.recordings:
        said = each.as_json()
        lines += [f"  {said['id']}  {said['state']}  SHA-256 {said['sha256']}  {said['size']:,} bytes"]
        lines += [f"    {said['means']}"]
        lines += [f"    buckets left: {', '.join(each.left)}"] if each.left else []
    return "\n".join(lines)
