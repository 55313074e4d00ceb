"""`sealdock retention`: how long what is kept, who changed it, and what a change would release."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path

import click
from sqlalchemy import select

from casework.keeping.preview import Preview, due, released
from casework.keeping.retention import evidence_policy
from core.clock import utc_now
from core.errors import Exit, SealdockError
from ingest.media_facts import MediaFacts
from sealdock.command.option import json_option
from sealdock.command.request import (
    approval_option,
    as_option,
    enter,
    enter_request,
    out_option,
    past_of,
    write_request,
)
from sealdock.wiring import Station
from vault.formats.statement import APPROVALS, Statement
from vault.log.submission import Draft
from vault.retention.chronicle import SCHEDULE, Chronicle
from vault.retention.past import Past
from vault.retention.schedule import RetentionClass, Schedule, default_schedule

SHOWN = 20  # recordings named on the terminal; --json names all


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
