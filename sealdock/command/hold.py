"""`sealdock hold`: what nobody may let go of, whatever the schedule says."""

from __future__ import annotations

import json
from pathlib import Path

import click

from casework.keeping.projection import holds, place_hold
from core.clock import stamp, utc_now
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
from sealdock.wiring import Station
from vault.formats.statement import Statement
from vault.log.index import wait_sequenced
from vault.retention.chronicle import HOLD, RELEASE
from webconsole.auth.account import get_account


@click.group()
def hold() -> None:
    """Keep recordings whatever the schedule says."""


@hold.command()
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...")
@click.option("--reason", required=True, help="Why; kept beside the log, encrypted.")
@click.option("--owner", required=True, help="Who asked for it: a court, a unit, a person.")
@click.option("--review-on", required=True, help="The day on which somebody looks at it again, 2027-06-01.")
@as_option
@click.pass_obj
def place(
    settings: Path, recordings: tuple[str, ...], reason: str, owner: str, review_on: str, username: str
) -> None:
    """Place a hold; it ends only when somebody else approves its release."""
    station = Station.load(settings)
    submitter = station.submitter(BUREAU)
    with station.db.writing() as session:
        actor = get_account(session, username).id
        entry_id = place_hold(
            session, submitter, actor, recordings, reason=reason, owner=owner, review_on=review_on
        )
    submitter.ring()
    wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
    click.echo(f"Hold {entry_id} keeps {len(recordings)} recordings.")


@hold.command("list")
@json_option
@click.pass_obj
def list_holds(settings: Path, as_json: bool) -> None:
    """Every hold in force, the next to be looked at first."""
    station = Station.load(settings)
    with station.db.reading() as session:
        found = holds(session)
    if as_json:
        rows = [
            {"hold": row.entry_id, "reason": row.reason, "owner": row.owner, "actor": row.actor,
             "review_on": row.review_on.isoformat(), "placed_at": stamp(row.placed_at), "recordings": recordings}
            for row, recordings in found
        ]  # fmt: skip
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row, recordings in found:
        overdue = "  REVIEW" if row.review_on <= utc_now().date() else ""
        click.echo(
            f"{row.entry_id}  {row.review_on}{overdue}  {len(recordings)} recordings  {row.owner}: {row.reason}"
        )


@hold.command("propose-release")
@click.argument("hold_id", metavar="HOLD")
@click.option("--only", multiple=True, metavar="RECORDING", help="Release only these; may be repeated.")
@out_option
@click.pass_obj
def propose_release(settings: Path, hold_id: str, only: tuple[str, ...], out: Path) -> None:
    """Make the request to end a hold, for somebody other than its placer to approve."""
    station = Station.load(settings)
    past = past_of(station)
    at = past.find(hold_id)
    if at is None or past.leaf(at).type != HOLD:
        raise click.UsageError(f"there is no hold {hold_id} on this log")
    write_request(out, Statement(RELEASE, only or past.leaf(at).about, {"hold": hold_id}, station.vault.id))


@hold.command()
@click.argument("request", type=click.Path(exists=True, path_type=Path))
@approval_option
@as_option
@click.pass_obj
def release(settings: Path, request: Path, approvals: tuple[Path, ...], username: str) -> None:
    """Put an approved release on the log."""
    entry_id = enter_request(Station.load(settings), request, approvals, username, RELEASE)
    click.echo(f"The hold is released, entry {entry_id}.")
