"""`sealdock officer`: the register of officers, their certificates, badges and PINs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.people.at_dock import give_badge, give_pin, named, take_badge, take_pin
from casework.people.certificate import standing
from casework.people.officer import Officer, OfficerFacts, change_officer, officers, register_officer
from casework.people.unit import Unit
from casework.subject import UnknownSubjectError
from core.canonical import Json
from core.clock import utc_now
from sealdock.command.option import json_option, passphrase
from sealdock.wiring import Station

name_option = click.option("--name", help="The officer's name.")
unit_option = click.option("--unit", "unit_number", help="The number of the officer's unit.")
certificate_option = click.option("--certificate", help="The number of the enforcement certificate.")
since_option = click.option("--valid-from", metavar="YYYY-MM-DD", help="The certificate's first day.")
until_option = click.option("--valid-until", metavar="YYYY-MM-DD", help="The certificate's last day.")
file_option = click.option(
    "--file", "secret_file", type=click.Path(exists=True, path_type=Path), help="First line is what to keep."
)
back_option = click.option("--take-back", is_flag=True, help="Take it back instead of giving it.")


@click.group()
def officer() -> None:
    """Register officers, their certificates, badges and PINs."""


@officer.command()
@click.argument("number")
@name_option
@unit_option
@certificate_option
@since_option
@until_option
@click.pass_obj
def add(
    settings: Path, number: str, name: str | None, unit_number: str | None, certificate: str | None,
    valid_from: str | None, valid_until: str | None,
) -> None:  # fmt: skip
    """Enter the officer NUMBER (6 letters or digits) in the register."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        facts = OfficerFacts(
            number, name or "", _unit_id(session, unit_number), certificate or "", valid_until, valid_from
        )
        register_officer(session, submitter, None, facts)
    submitter.ring()
    click.echo(f"Officer {number} is in the register.")


@officer.command()
@click.argument("number")
@name_option
@unit_option
@certificate_option
@since_option
@until_option
@click.pass_obj
def change(
    settings: Path, number: str, name: str | None, unit_number: str | None, certificate: str | None,
    valid_from: str | None, valid_until: str | None,
) -> None:  # fmt: skip
    """Correct what the register says of officer NUMBER; what is not named stays as it is."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    with station.db.writing() as session:
        found = named(session, number)
        given = {
            "name": name, "unit_id": _unit_id(session, unit_number), "certificate_number": certificate,
            "certificate_valid_from": valid_from, "certificate_valid_until": valid_until,
        }  # fmt: skip
        facts = replace(facts_of(found), **{key: value for key, value in given.items() if value is not None})
        change_officer(session, submitter, None, found.id, facts)
    submitter.ring()
    click.echo(f"What the register says of officer {number} was changed.")


@officer.command("list")
@json_option
@click.pass_obj
def list_officers(settings: Path, as_json: bool) -> None:
    """List the officers and what their certificates are worth today."""
    with Station.load(settings).db.reading() as session:
        shown = [_line(one) for one in officers(session)]
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for line in shown:
        until = line["certificate_valid_until"] or "-"
        click.echo(f"{line['number']:<8} {line['standing']:<9} {until:<11} {line['name']}")


@officer.command()
@click.argument("number")
@file_option
@back_option
@click.pass_obj
def badge(settings: Path, number: str, secret_file: Path | None, take_back: bool) -> None:
    """Give officer NUMBER the badge that is held to the reader now; only a digest is kept."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    shown = "" if take_back else passphrase(secret_file, f"Hold the badge of {number} to the reader").decode()
    with station.db.writing() as session:
        found = named(session, number)
        if take_back:
            take_badge(session, submitter, None, found.id)
        else:
            give_badge(session, submitter, None, found.id, shown)
    submitter.ring()
    click.echo(f"Officer {number} has {'no badge now' if take_back else 'this badge now'}.")


@officer.command()
@click.argument("number")
@file_option
@back_option
@click.pass_obj
def pin(settings: Path, number: str, secret_file: Path | None, take_back: bool) -> None:
    """Let officer NUMBER choose a PIN of 6 to 12 digits; only a digest is kept."""
    station = Station.load(settings)
    submitter = station.submitter("console")
    typed = "" if take_back else passphrase(secret_file, f"PIN of {number}", confirm=True).decode()
    with station.db.writing() as session:
        found = named(session, number)
        if take_back:
            take_pin(session, submitter, None, found.id)
        else:
            give_pin(session, submitter, None, found.id, typed)
    submitter.ring()
    click.echo(f"Officer {number} has {'no PIN now' if take_back else 'a PIN now'}.")


def facts_of(found: Officer) -> OfficerFacts:
    """What the register says now, to change a part of it."""
    return OfficerFacts(
        found.number, found.name, found.unit_id, found.certificate_number, found.certificate_valid_until,
        found.certificate_valid_from,
    )  # fmt: skip


def _unit_id(session: Session, number: str | None) -> str | None:
    if number is None:
        return None
    found = session.scalar(select(Unit.id).where(Unit.number == number.strip()))
    if found is None:
        raise UnknownSubjectError(what="unit", id=number[:40])
    return found


def _line(one: Officer) -> Json:
    return {
        "number": one.number, "name": one.name, "standing": standing(one, utc_now()).value,
        "certificate_number": one.certificate_number,
        "certificate_valid_from": _day(one.certificate_valid_from),
        "certificate_valid_until": _day(one.certificate_valid_until),
        "badge": one.badge_since is not None, "pin": one.pin_since is not None,
    }  # fmt: skip


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
