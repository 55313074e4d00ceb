"""`sealdock recorder`: the register of recorders and the issue ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import firmwares, recordings_from
from casework.equipment.event import CARE, RecorderState, last_before
from casework.equipment.issue import DOCK_WITHIN_HOURS, hand_back, hand_out
from casework.equipment.issue import overdue as overdue_now
from casework.equipment.recorder import (
    RecorderFilter,
    care,
    change_recorder,
    facts_of,
    known_recorder,
    list_recorders,
    register_recorder,
)
from casework.field import DateError
from casework.people.at_dock import named
from casework.people.officer import officer_names
from core.canonical import Json
from core.clock import stamp, utc_now
from core.settings import Settings
from sealdock.command.option import json_option
from sealdock.wiring import Station

model_option = click.option("--model", help="What the maker calls it.")
officer_option = click.option("--officer", "number", help="The officer it is assigned to, by number.")
card_option = click.option("--card", help="The serial of its card.")
battery_option = click.option("--battery", help="The serial of its battery.")


@click.group()
def recorder() -> None:
    """Register recorders, hand them out, take them back."""


@recorder.command()
@click.argument("serial")
@model_option
@officer_option
@card_option
@battery_option
@click.pass_obj
def add(
    settings: Path, serial: str, model: str | None, number: str | None, card: str | None, battery: str | None
) -> None:
    """Enter the recorder SERIAL in the register, also one that was only seen in a bay."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        officer_id = named(session, number).id if number else None
        register_recorder(
            session, submitter, None, serial, model or "", officer_id, card or "", battery or ""
        )
    submitter.ring()
    click.echo(f"Recorder {serial} is in the register.")


@recorder.command()
@click.argument("serial")
@click.option("--serial", "new_serial", help="The serial, where it was entered wrongly.")
@model_option
@officer_option
@card_option
@battery_option
@click.option("--say", "event", type=click.Choice(CARE), help="What befell it.")
@click.option("--note", default="", help="Why, or where it is.")
@click.pass_obj
def change(settings: Path, /, serial: str, event: str | None, note: str, **typed: str | None) -> None:
    """Correct what the register says of recorder SERIAL, or say what befell it."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        found = known_recorder(session, serial)
        told = _told(session, typed)
        if told:
            change_recorder(session, submitter, None, found.id, replace(facts_of(found), **told))
        if event:
            care(session, submitter, None, found.id, event, note)
        session.refresh(found)
    submitter.ring()
    click.echo(f"Recorder {found.serial} is '{found.state}' now.")


@recorder.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice([state.value for state in RecorderState]))
@click.option(
    "--unregistered", is_flag=True, help="Only those that were seen in a bay and nobody registered."
)
@json_option
@click.pass_obj
def list_all(settings: Path, states: tuple[str, ...], unregistered: bool, as_json: bool) -> None:
    """List the recorders: state, who holds it, when it last docked, firmware."""
    wanted = RecorderFilter(
        states=[RecorderState(state) for state in states], is_registered=False if unregistered else None
    )
    with Station.load(settings).db.reading() as session:
        shown = [_line(session, one) for one in list_recorders(session, wanted, limit=10_000)]
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for line in shown:
        seen = "" if line["registered"] else "seen, not registered"
        holder = line["holder"] or "-"
        click.echo(
            f"{line['serial']:<16} {line['state']:<10} {holder:<8} {line['firmware']:<16} {seen}".rstrip()
        )


@recorder.command()
@click.argument("serial")
@click.argument("number")
@click.option("--purpose", required=True, help="What for: the task, the post, the inspection plan.")
@click.option("--until", metavar="YYYY-MM-DDTHH:MM", help="When the shift ends; otherwise in eight hours.")
@click.pass_obj
def issue(settings: Path, serial: str, number: str, purpose: str, until: str | None) -> None:
    """Hand the recorder SERIAL to officer NUMBER; refused without a valid certificate."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    ends_at = _moment(station.settings, until)
    with station.db.writing() as session:
        holder = named(session, number)
        hand_out(session, submitter, holder, serial, purpose, utc_now(), shift_ends_at=ends_at)
    submitter.ring()
    click.echo(f"Recorder {serial} was handed to {holder.name} ({number}).")


@recorder.command()
@click.argument("serial")
@click.option("--note", default="", help="Why by hand.")
@click.pass_obj
def back(settings: Path, serial: str, note: str) -> None:
    """Take the recorder SERIAL back by hand; one that is docked is taken back by its session."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        hand_back(session, submitter, serial, utc_now(), note=note)
    submitter.ring()
    click.echo(f"Recorder {serial} is back.")


@recorder.command()
@click.option("--hours", default=DOCK_WITHIN_HOURS, show_default=True, type=click.IntRange(0, 8760))
@json_option
@click.pass_obj
@click.pass_context
def overdue(context: click.Context, settings: Path, hours: int, as_json: bool) -> None:
    """List the recorders that are out and were not docked within 24 hours of the shift; exit code 1 if any."""
    with Station.load(settings).db.reading() as session:
        found = [
            {
                "serial": each.recorder.serial, "officer": each.officer.number if each.officer else None,
                "name": each.officer.name if each.officer else None, "due_at": stamp(each.due_at),
                "hours_late": round(each.late.total_seconds() / 3600, 1),
            }
            for each in overdue_now(session, utc_now(), hours)
        ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    for line in [] if as_json else found:
        click.echo(
            f"{line['serial']:<16} {line['officer'] or '-':<8} {line['hours_late']:>7} h  {line['name'] or ''}"
        )
    if not found and not as_json:
        click.echo("No recorder is overdue.")
    context.exit(1 if found else 0)


@recorder.command()
@click.argument("version", required=False)
@json_option
@click.pass_obj
def firmware(settings: Path, version: str | None, as_json: bool) -> None:
    """List the firmware versions that recordings came from, or the recordings of one VERSION."""
    with Station.load(settings).db.reading() as session:
        found: list[Json] = (
            [{"id": each.id, "name": each.name, "recorder": each.recorder_serial} for each in recordings_from(
                session, version, limit=100_000)]
            if version
            else [{"version": each.version, "profile": each.profile, "sessions": each.sessions,
                   "recorders": each.recorders, "recordings": each.recordings} for each in firmwares(session)]
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for line in found:
        click.echo("  ".join(str(value) for value in line.values()))


def _told(session: Session, typed: dict[str, str | None]) -> dict[str, str]:
    """What was typed to be changed, by the register's names."""
    given = {
        "serial": typed["new_serial"], "model": typed["model"], "card_serial": typed["card"],
        "battery_serial": typed["battery"],
        "officer_id": named(session, typed["number"]).id if typed["number"] else None,
    }  # fmt: skip
    return {key: value for key, value in given.items() if value is not None}


def _line(session: Session, one: RecorderAsset) -> Json:
    last = last_before(session, one.id, utc_now()) if one.holder_id else None
    holder = last.officer_number if last else None
    return {
        "serial": one.serial, "model": one.model, "state": one.state, "registered": one.is_registered,
        "holder": holder, "name": officer_names(session, [holder]).get(holder) if holder else None,
        "card_serial": one.card_serial, "battery_serial": one.battery_serial, "firmware": one.firmware,
        "profile": one.profile, "docked_at": stamp(one.docked_at) if one.docked_at else None,
    }  # fmt: skip


def _moment(settings: Settings, written: str | None) -> datetime | None:
    """A local time as it is typed. Raises DateError."""
    if not written:
        return None
    try:
        typed = datetime.fromisoformat(written)
    except ValueError as cause:
        raise DateError(field="until", value=written[:40]) from cause
    return typed if typed.tzinfo else typed.replace(tzinfo=ZoneInfo(settings.station.timezone))
