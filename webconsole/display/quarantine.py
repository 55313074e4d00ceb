"""Sessions in quarantine in the reader's words: why an officer was asked, who answered, what a custodian decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.asset import RecorderAsset
from casework.equipment.recorder import recorder_by_serial
from casework.evidence.quarantine import Decision, Quarantined, QuarantinedSession, among
from casework.evidence.recording import Recording
from casework.people.actor import actor_name
from casework.people.officer import officer_names
from webconsole.display import wording
from webconsole.display.equipment import Mark
from webconsole.gate import may

SHOWN = 50  # recordings named on the page; the receipt names all


@dataclass(frozen=True)
class Decided:
    """One decision, as a person reads it."""

    mark: Mark
    at: datetime
    who: str
    note: str


@dataclass(frozen=True)
class QuarantineLine:
    """One session on the list."""

    session: QuarantinedSession
    mark: Mark
    why: str
    who: str  # said "duty footage"
    decided: Decided | None


@dataclass(frozen=True)
class QuarantinePage:
    """One session with everything to decide by."""

    line: QuarantineLine
    claimed_at: datetime | None
    means: str
    recorder: RecorderAsset | None
    recordings: tuple[Recording, ...]
    total: int
    decisions: tuple[Decided, ...]


@dataclass(frozen=True)
class QuarantineNote:
    """What stands on the page of a recording that came in this way."""

    session_id: str
    tone: str
    icon: str
    title: str
    text: str


def quarantine_lines(session: Session, found: list[Quarantined]) -> list[QuarantineLine]:
    """The lines of a list, with the names in one query."""
    names = officer_names(
        session, {one.claim.officer_number for one in found if one.claim and one.claim.officer_number}
    )
    return [
        QuarantineLine(
            session=one.session,
            mark=mark_of(one.standing),
            why=wording.word(reasons(), one.session.standing) if one.session.standing else "",
            who=_officer(one, names),
            decided=_decided(session, one)[0] if one.decisions else None,
        )
        for one in found
    ]


def quarantine_page(session: Session, one: Quarantined) -> QuarantinePage:
    """The page of one session; its recordings only for whoever may list them."""
    mine = Recording.session_id == one.session.id
    shown = select(Recording).where(mine).order_by(Recording.happened_at, Recording.id).limit(SHOWN)
    serial = one.session.recorder_serial
    return QuarantinePage(
        line=quarantine_lines(session, [one])[0],
        claimed_at=one.claim.at if one.claim else None,
        means=wording.word(means(), one.claim.means) if one.claim and one.claim.means else "",
        recorder=recorder_by_serial(session, serial) if serial else None,
        recordings=tuple(session.scalars(shown)) if may(Permission.RECORDING_LIST) else (),
        total=session.scalar(select(func.count()).select_from(Recording).where(mine)) or 0,
        decisions=tuple(_decided(session, one)),
    )


def quarantine_note(session: Session, session_id: str | None) -> QuarantineNote | None:
    """The mark of a recording or session; None for what came in under a registered recorder."""
    one = among(session, [session_id]).get(session_id) if session_id else None
    if one is None:
        return None
    tone, icon, title, text = {
        None: (
            "person", "circle-help", gettext("In quarantine: nobody has decided yet"),
            gettext("An officer said that it is duty footage; the register did not answer for the recorder."),
        ),
        Decision.ACCEPTED: (
            "quiet", "check", gettext("Taken in quarantine, accepted as duty footage"),
            gettext("The register did not answer for the recorder; a custodian decided afterwards."),
        ),
        Decision.NOT_DUTY: (
            "fault", "ban", gettext("Not duty footage"),
            gettext("A custodian decided this after it was sealed. Do not use it as evidence."),
        ),
    }[one.standing]  # fmt: skip
    return QuarantineNote(one.session.id, tone, icon, title, text)


def mark_of(standing: Decision | None) -> Mark:
    """What counts of a session."""
    return {
        None: Mark("person", "circle-help", gettext("To be decided")),
        Decision.ACCEPTED: Mark("safe", "check", gettext("Accepted as duty footage")),
        Decision.NOT_DUTY: Mark("quiet", "ban", gettext("Not duty footage")),
    }[standing]


def reasons() -> wording.Choices:
    """Why an officer was asked: what the register said of the recorder."""
    return [
        ("unregistered", gettext("Not in the register")),
        ("nameless", gettext("Says no serial number")),
        ("lost", gettext("Reported lost")),
        ("retired", gettext("Taken out of use")),
        ("registered", gettext("Registered since it was asked")),
    ]


def means() -> wording.Choices:
    """How the officer was recognised."""
    return [("badge", gettext("known by badge")), ("pin", gettext("known by number and PIN"))]


def _decided(session: Session, one: Quarantined) -> list[Decided]:
    found = []
    for row in one.decisions:
        named = actor_name(session, row.actor, row.at) if row.actor else None
        found.append(Decided(mark_of(Decision(row.decision)), row.at, named.name if named else "", row.note))
    return found


def _officer(one: Quarantined, names: dict[str, str]) -> str:
    number = (one.claim.officer_number if one.claim else None) or one.session.officer_number or ""
    return " · ".join(part for part in (names.get(number), number) if part)
