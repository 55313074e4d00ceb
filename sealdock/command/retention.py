"""`sealdock retention` and `sealdock hold`: how long what is kept, and what nobody may let go of."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from casework.retention import evidence_policy
from casework.retention_preview import Preview, due, released
from casework.retention_projection import holds, place_hold
from core.canonical import decode
from core.clock import stamp, utc_now
from core.durable import create_once
from core.errors import Exit, SealdockError
from ingest.media_facts import MediaFacts
from sealdock.command.option import json_option
from sealdock.wiring import Station
from vault.formats.approval import Approval
from vault.formats.statement import APPROVALS, Statement
from vault.log.index import wait_sequenced
from vault.log.submission import Draft
from vault.retention.chronicle import HOLD, RELEASE, SCHEDULE, Chronicle
from vault.retention.past import Past
from vault.retention.schedule import RetentionClass, Schedule, default_schedule
from webconsole.auth.account import get_account

SEQUENCED_WITHIN_S = 15.0
BUREAU = "bureau"  # the key of the command line run as root
SHOWN = 20  # recordings named on the terminal; --json names all
approval_option = click.option(
    "--approval", "approvals", multiple=True, type=click.Path(exists=True, path_type=Path),
    help="A file that `sealdock approver sign` wrote; may be repeated.",
)  # fmt: skip
as_option = click.option("--as", "username", required=True, help="The account in whose name it is done.")
out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where the request for approval goes."
)


class ScheduleFileError(SealdockError):
    """A file that is no schedule."""

    code = "sealdock.schedule_file"
    sentence = (
        "{path} is no schedule ({why}). Nothing was changed; it needs effective_from and a [[class]] with name, days "
        '(or "permanent") and basis for each class.'
    )
    exit_code = Exit.WRONG_USE


class NoScheduleError(SealdockError):
    """A station that has not begun."""

    code = "sealdock.no_schedule"
    sentence = (
        "No schedule is in force on this log, so everything is kept. Nothing was changed; "
        "`sealdock retention begin` puts the usual one there."
    )
    exit_code = Exit.NO


@click.group()
def retention() -> None:
    """See and change how long recordings are kept."""


@retention.command()
@json_option
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """The schedule in force: 0 there is one, 1 there is none."""
    station = Station.load(context.obj)
    schedules = Chronicle(past_of(station), evidence_policy()).schedules()
    current = Chronicle(past_of(station), evidence_policy()).schedule_at(utc_now())
    if as_json:
        known = [each.facts() | {"entry": each.entry_id, "in_force": each == current} for each in schedules]
        click.echo(json.dumps(known, ensure_ascii=False))
    elif current is None:
        click.echo(
            "No schedule is in force: everything is kept. `sealdock retention begin` puts the usual one there."
        )
    else:
        click.echo(
            f"Version {current.version}, from {current.effective_from:%Y-%m-%d}, entry {current.entry_id}"
        )
        for line in current.classes:
            click.echo(f"  {line.name:<18} {_days(line.days):<12} {line.basis}")
    context.exit(Exit.YES if current else Exit.NO)


@retention.command()
@click.pass_obj
def begin(settings: Path) -> None:
    """Put the usual schedule of a new station on the log: half a year, evidence and major incidents for ever."""
    station = Station.load(settings)
    facts = default_schedule(utc_now()).facts()
    entry_id = enter(station, Draft(SCHEDULE, about=(station.vault.id,), facts=facts | {APPROVALS: []}))
    click.echo(f"Schedule 1 is in force, entry {entry_id}.")


@retention.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@json_option
@click.pass_obj
def preview(settings: Path, file: Path, as_json: bool) -> None:
    """Say exactly which recordings, and how many hours, the schedule in FILE would release today."""
    station = Station.load(settings)
    past = past_of(station)
    standing = schedule_in_force(past)
    wanted = read_schedule(file, standing.version + 1)
    with station.db.reading() as session:
        found = released(session, past, evidence_policy(), standing, wanted, utc_now(), durations(station))
    tell_preview(found, as_json, "This schedule would release")
    if not as_json and (shorter := wanted.shortens(standing)):
        click.echo(f"It keeps for a shorter time: {', '.join(shorter)}. Two people must approve it.")


@retention.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@out_option
@click.pass_obj
def propose(settings: Path, file: Path, out: Path) -> None:
    """Make the request for the schedule in FILE, for two people to approve."""
    station = Station.load(settings)
    known = Chronicle(past_of(station), evidence_policy()).schedules()
    wanted = read_schedule(file, known[-1].version + 1 if known else 1)
    write_request(out, Statement(SCHEDULE, (station.vault.id,), wanted.facts(), station.vault.id))


@retention.command()
@click.argument("request", type=click.Path(exists=True, path_type=Path))
@approval_option
@as_option
@click.pass_obj
def enact(settings: Path, request: Path, approvals: tuple[Path, ...], username: str) -> None:
    """Put an approved schedule on the log; one that shortens nothing needs no approval."""
    entry_id = enter_request(Station.load(settings), request, approvals, username, SCHEDULE)
    click.echo(f"The schedule is on the log, entry {entry_id}.")


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


def past_of(station: Station) -> Past:
    """The log, for questions that decide nothing."""
    return Past(station.reader, proving=False)


def schedule_in_force(past: Past) -> Schedule:
    """Raises NoScheduleError."""
    found = Chronicle(past, evidence_policy()).schedule_at(utc_now())
    if found is None:
        raise NoScheduleError
    return found


def durations(station: Station) -> dict[str, int]:
    """Milliseconds of each recording that the worker has indexed."""
    with station.db.reading() as session:
        rows = session.execute(select(MediaFacts.recording_id, MediaFacts.duration_ms))
        return {row.recording_id: row.duration_ms for row in rows if row.duration_ms is not None}


def due_now(station: Station, past: Past) -> Preview:
    """What may be disposed of today. Raises NoScheduleError."""
    with station.db.reading() as session:
        return due(session, past, evidence_policy(), schedule_in_force(past), utc_now(), durations(station))


def tell_preview(found: Preview, as_json: bool, lead: str) -> None:
    """Print a preview, what was never viewed or attributed apart and first."""
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
        return
    unknown = found.bytes_of_unknown_length
    also = f", and {unknown:,} bytes whose length is not known" if unknown else ""
    click.echo(f"{lead} {len(found.recordings)} recordings: {found.hours:.2f} hours{also}.")
    apart = {each.id for each in found.apart}
    for heading, rows in (
        ("Never viewed, or claimed by no officer and no case; look at these first:", found.apart),
        ("The others:", [each for each in found.recordings if each.id not in apart]),
    ):
        if rows:
            click.echo(heading)
        for each in rows[:SHOWN]:
            click.echo(f"  {each.id}  {each.came_in_at:%Y-%m-%d}  {each.retention_class:<14} {each.name}")
        if len(rows) > SHOWN:
            click.echo(f"  ... and {len(rows) - SHOWN} more; --json names all")


def read_schedule(file: Path, version: int) -> Schedule:
    """The schedule that a person wrote. Raises ScheduleFileError."""
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
        lines = tuple(
            RetentionClass(str(line["name"]), _read_days(line["days"]), str(line["basis"]))
            for line in said["class"]
        )
        return Schedule(version, _moment(said["effective_from"]), lines)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as cause:
        raise ScheduleFileError(path=file, why=str(cause)) from cause


def write_request(out: Path, statement: Statement) -> None:
    """Write a request for approval and say its digest, which each approver compares."""
    create_once(out, statement.raw() + b"\n", mode=0o644)
    click.echo(f"{out} is the request: {statement.type}, about {len(statement.about)} subjects.")
    click.echo(f"Digest to compare: {statement.digest}")


def enter_request(
    station: Station, request: Path, approvals: Sequence[Path], username: str, entry_type: str
) -> str:
    """Submit what a request says with its approvals; gives the entry's id once it is on the log."""
    statement = Statement.parse(request.read_bytes())
    if statement.type != entry_type or statement.vault != station.vault.id:
        raise click.UsageError(
            f"{request} is not a request for this: {statement.type} of vault {statement.vault}"
        )
    signed = [Approval.parse(decode(path.read_bytes().strip())).facts() for path in approvals]
    facts: dict[str, Any] = {**statement.facts, APPROVALS: signed}
    with station.db.reading() as session:
        actor = get_account(session, username).id
    return enter(station, Draft(entry_type, actor=actor, about=statement.about, facts=facts))


def enter(station: Station, draft: Draft) -> str:
    """Submit as the bureau and wait for the log's answer. Raises RefusedError, NotSequencedError, MissingKeyError."""
    submitter = station.submitter(BUREAU)
    with station.db.writing() as session:
        entry_id = submitter.submit(session, draft)
    submitter.ring()
    wait_sequenced(station.db, entry_id, SEQUENCED_WITHIN_S)
    return entry_id


def _moment(said: object) -> datetime:
    """Midnight UTC of a day, or a moment with its zone."""
    if isinstance(said, datetime):
        return said if said.tzinfo else said.replace(tzinfo=UTC)
    day = said if isinstance(said, date) else date.fromisoformat(str(said))
    return datetime.combine(day, time(), UTC)


def _read_days(said: object) -> int | None:
    if said == "permanent":
        return None
    if not isinstance(said, int) or isinstance(said, bool):
        raise ValueError('days is a number or "permanent"')  # noqa: TRY004  read_schedule names it as the file's mistake
    return said


def _days(days: int | None) -> str:
    return "permanent" if days is None else f"{days} days"
