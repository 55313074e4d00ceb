"""How a recording came to be whose it is said to be: found on which recorder, held by whom, and how each is known.

Invariants: a recording was found on a recorder, and nothing here says that the recorder made it; what its names say,
what was shown at the dock and what the issue ledger says stand beside each other with their sources, and where they
disagree the page says so and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.docked import firmware_of
from casework.equipment.issue import conflict_of, holder_at
from casework.evidence.recording import Recording
from casework.people.officer import officer_names
from ingest.erase_record import erased_among
from ingest.stated import SessionStatement
from ingest.statement import HolderBy, IdentityBy
from webconsole.display import wording
from webconsole.display.facts import Fact
from webconsole.gate import may
from webconsole.i18n import local_time


@dataclass(frozen=True)
class Stated:
    """What the session's statement says of recorder and holder; empty where there is none."""

    identity_by: str = ""
    holder: str = ""
    holder_by: str = ""


@dataclass(frozen=True)
class Disagreement:
    """Two officers, each as `name · number`."""

    named: str
    holder: str


def provenance_facts(session: Session, recording: Recording) -> list[Fact]:
    """Recorder, officer, ledger, profile and firmware, each with how it is known."""
    stated = _stated(session, recording)
    held = _held(session, recording)
    numbers = {number for number in (recording.officer_number, stated.holder, held) if number}
    names = officer_names(session, numbers)
    return [
        *_found_on(recording, stated),
        *_people(recording, stated, names),
        *_ledger(recording, held, names),
        *_made_by(session, recording),
        *_erased(session, recording),
    ]


def disagreement(session: Session, recording: Recording) -> Disagreement | None:
    """Where the names on the recording and the issue ledger say two officers."""
    found = conflict_of(session, recording)
    if found is None:
        return None
    names = officer_names(session, {found.named, found.holder})
    return Disagreement(_officer(found.named, names), _officer(found.holder, names))


def _stated(session: Session, recording: Recording) -> Stated:
    """Read where it lies: a statement of a large card is half a megabyte."""
    if recording.session_id is None:
        return Stated()
    head = SessionStatement.head
    row = session.execute(
        select(head["identity_by"].as_string(), head["holder"].as_string(), head["holder_by"].as_string())
        .where(SessionStatement.session_id == recording.session_id)
    ).first()  # fmt: skip
    return Stated(*(value or "" for value in row)) if row else Stated()


def _held(session: Session, recording: Recording) -> str | None:
    return (
        holder_at(session, recording.recorder_serial, recording.happened_at)
        if recording.recorder_serial
        else None
    )


def _found_on(recording: Recording, stated: Stated) -> list[Fact]:
    if not recording.recorder_serial:
        return []
    serial = Markup('<span class="code">{}</span>').format(recording.recorder_serial)
    return [Fact(gettext("Found on recorder"), serial, _word(identities(), stated.identity_by))]


def _people(recording: Recording, stated: Stated, names: dict[str, str]) -> list[Fact]:
    """The officer of the recording; whoever brought the recorder stands beside it when that is somebody else."""
    number, by = recording.officer_number or "", stated.holder_by
    if not number and not stated.holder:
        return [Fact(gettext("Officer"), gettext("Not named"), gettext("Nobody is known to have held it."))]
    is_shown = number == stated.holder and by not in {"", HolderBy.NAMES.value, HolderBy.NONE.value}
    source = _word(holders(), by if is_shown else HolderBy.NAMES.value)
    shown = [Fact(gettext("Officer"), _officer(number, names), source)] if number else []
    if stated.holder and stated.holder != number:
        shown.append(
            Fact(gettext("Brought to the dock by"), _officer(stated.holder, names), _word(holders(), by))
        )
    return shown


def _ledger(recording: Recording, held: str | None, names: dict[str, str]) -> list[Fact]:
    if not recording.recorder_serial or recording.bay is None:
        return []
    when = (
        gettext("When it was recorded, by the recorder's clock")
        if recording.started_at
        else gettext("When it was sealed; the recorder named no time")
    )
    who = _officer(held, names) if held else gettext("Nobody named")
    return [Fact(gettext("Holder by the issue ledger"), who, when)]


def _made_by(session: Session, recording: Recording) -> list[Fact]:
    shown = [Fact(gettext("Recorder profile"), recording.profile)] if recording.profile else []
    version = firmware_of(session, recording)
    if version:
        shown.append(Fact(gettext("Firmware"), _firmware(version, recording.profile or ""),
                          gettext("As the recorder said it at this docking")))  # fmt: skip
    return shown


def _erased(session: Session, recording: Recording) -> list[Fact]:
    """By policy, after it was sealed; it says nothing of the recording here."""
    at = erased_among(session, [recording.id]).get(recording.id)
    if at is None:
        return []
    return [
        Fact(gettext("Erased from the recorder"), local_time(at), gettext("By policy, after it was sealed"))
    ]


def _firmware(version: str, profile: str) -> str | Markup:
    if not may(Permission.RECORDER_VIEW):
        return version
    url = url_for("firmware.recordings", version=version, profile=profile)
    return Markup('<a class="code" href="{}">{}</a>').format(url, version)


def identities() -> wording.Choices:
    """How it was established which recorder it was."""
    return [
        (IdentityBy.UNLOCK.value, gettext("The recorder answered the unlocking")),
        (IdentityBy.USB.value, gettext("Claimed by its USB description")),
        (IdentityBy.NAMES.value, gettext("Claimed by the names of its files")),
        (IdentityBy.HAND.value, gettext("Named by hand")),
        (IdentityBy.SENT_IN.value, gettext("Sent in")),
        (IdentityBy.NONE.value, gettext("Not known how")),
    ]


def holders() -> wording.Choices:
    """How it was established who held it."""
    return [
        (HolderBy.BADGE.value, gettext("Shown by badge at the dock")),
        (HolderBy.PIN.value, gettext("Shown by number and PIN at the dock")),
        (HolderBy.TYPED.value, gettext("Number typed by whoever took it in")),
        (HolderBy.NAMES.value, gettext("Number from the file's name or the recorder")),
        (HolderBy.LEDGER.value, gettext("By the issue ledger")),
    ]


def _word(choices: wording.Choices, value: str) -> str:
    return wording.word(choices, value) if value else ""


def _officer(number: str, names: dict[str, str]) -> str:
    return " · ".join(part for part in (names.get(number), number) if part)
