"""The issue ledger: who was handed which recorder, when, for what, and when it came back.

Invariants: a recorder is handed out only while the register and the machine allow it, and only to somebody whose
enforcement certificate is valid at that moment (D15); both are looked at in the writing transaction that submits the
`issue` entry, so two hands never get one recorder. Out and back stand on the signed log; a docking session brings a
recorder back as well. Who held a recorder at a moment is answered from this ledger, and a recording whose own names
say another officer is a conflict that is shown, never resolved by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.event import (
    HAND_BACK,
    HAND_OUT,
    RecorderEvent,
    RecorderState,
    enter,
    history,
    last_before,
)
from casework.equipment.recorder import (
    NotAvailableError,
    known_recorder,
    recorder_by_serial,
    refuse_unless_allowed,
)
from casework.evidence.recording import Recording
from casework.field import CaseworkError, choice, text
from casework.people.at_dock import Means
from casework.people.certificate import refusal
from casework.people.officer import Officer
from casework.subject import find
from core.clock import parse_stamp, stamp, utc_now
from core.errors import Exit
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

PURPOSE_LIMIT = 200
WORKING_DAY = timedelta(hours=8)  # a shift nobody gave the end of: the statutory working day
LONGEST_SHIFT = timedelta(days=31)  # a post in the mountains; longer is a slip of the hand
DOCK_WITHIN_HOURS = 24  # after the shift (D35)
AHEAD = timedelta(minutes=5)  # clocks of two machines
CONFLICTS_SHOWN = 100
EVENTS = {"out": HAND_OUT, "back": HAND_BACK}


class NotRegisteredError(NotAvailableError):
    """A recorder that was seen in a bay and that nobody registered."""

    code = "casework.not_registered"
    sentence = (
        "Recorder {serial} was seen in a bay and is not in the register. Nothing was changed; what is on it is sealed "
        "all the same. A custodian registers it before it is handed out."
    )


class IssueMomentError(CaseworkError):
    """A time that cannot be when this happened."""

    code = "casework.issue_moment"
    sentence = (
        "Recorder {serial} cannot have changed hands at {at}: it must be after its last line in the ledger ({last}) "
        "and not in the future. Nothing was changed; correct the time."
    )
    exit_code = Exit.WRONG_USE


class ShiftError(CaseworkError):
    """A shift that ends before it begins, or lasts for months."""

    code = "casework.shift"
    sentence = (
        "A shift that begins at {begins} cannot end at {ends}. "
        "Nothing was changed; correct the end of the shift."
    )
    exit_code = Exit.WRONG_USE


@dataclass(frozen=True)
class Overdue:
    """A recorder that is out and should have been docked (D35)."""

    recorder: RecorderAsset
    officer: Officer | None
    due_at: datetime
    late: timedelta


@dataclass(frozen=True)
class Conflict:
    """A recording whose names say somebody else than the ledger."""

    recording: Recording
    named: str  # the officer's number in the file's name or the recorder's owner record
    holder: str  # the officer's number in the ledger


def hand_out(
    session: Session, submitter: Submitter, officer: Officer, recorder_serial: str, purpose: str, at: datetime,
    *, actor: str | None = None, means: Means = Means.CUSTODIAN, shift_ends_at: datetime | None = None,
) -> str:  # fmt: skip
    """Hand a recorder to an officer for a shift that ends after eight hours, unless said; the entry's id.

    Call it in a writing transaction. Raises CertificateError (D15), NotAvailableError, NotRegisteredError,
    IssueMomentError, ShiftError, FieldError, UnknownSubjectError.
    """
    recorder = known_recorder(session, recorder_serial)
    if not recorder.is_registered:
        raise NotRegisteredError(serial=recorder.serial)
    if (why := refusal(officer, at)) is not None:
        raise why
    refuse_unless_allowed(recorder, HAND_OUT)
    _check_moment(recorder, at)
    ends_at = at + WORKING_DAY if shift_ends_at is None else shift_ends_at
    if not at <= ends_at <= at + LONGEST_SHIFT:
        raise ShiftError(begins=stamp(at), ends=stamp(ends_at))
    body = {
        "officer": officer.id, "officer_number": officer.number, "at": stamp(at),
        "purpose": text(purpose, "purpose", PURPOSE_LIMIT), "means": choice(means, "means", Means).value,
        "shift_ends_at": stamp(ends_at),
    }  # fmt: skip
    return _submit(session, submitter, "out", recorder.id, actor, body)


def hand_back(
    session: Session, submitter: Submitter, recorder_serial: str, at: datetime, *, actor: str | None = None,
    note: str = "",
) -> str:  # fmt: skip
    """Take a recorder back by hand; the entry's id. A recorder that is docked is taken back by its session.

    Raises NotAvailableError, IssueMomentError, FieldError, UnknownSubjectError.
    """
    recorder = known_recorder(session, recorder_serial)
    refuse_unless_allowed(recorder, HAND_BACK)
    _check_moment(recorder, at)
    body = {"at": stamp(at), "purpose": text(note, "note", PURPOSE_LIMIT, required=False)}
    return _submit(session, submitter, "back", recorder.id, actor, body)


def holder_at(session: Session, recorder_serial: str, moment: datetime) -> str | None:
    """The number of the officer who held the recorder at that moment; None when the ledger names nobody."""
    recorder = recorder_by_serial(session, recorder_serial)
    last = last_before(session, recorder.id, moment) if recorder else None
    return last.officer_number if last is not None and last.event == HAND_OUT else None


def conflict_of(session: Session, recording: Recording) -> Conflict | None:
    """Whether the names on a recording say another officer than the ledger; None also when either is silent."""
    if not recording.recorder_serial or not recording.officer_number:
        return None
    holder = holder_at(session, recording.recorder_serial, recording.happened_at)
    if holder is None or holder == recording.officer_number:
        return None
    return Conflict(recording, recording.officer_number, holder)


def conflicts(session: Session, recorder: RecorderAsset, limit: int = CONFLICTS_SHOWN) -> list[Conflict]:
    """Recordings of this recorder whose names disagree with the ledger, the newest issue first."""
    found, until = list[Conflict](), None
    for event in history(session, recorder.id):
        if event.event == HAND_OUT and event.officer_number:
            found += _disagreeing(session, recorder.serial, event, until, limit - len(found))
            if len(found) >= limit:
                break
        until = event.at
    return found


def overdue(session: Session, now: datetime, hours: int = DOCK_WITHIN_HOURS) -> list[Overdue]:
    """Recorders that are out and whose shift ended more than `hours` ago, the longest overdue first (D35)."""
    grace = timedelta(hours=hours)
    rows = session.execute(
        select(RecorderAsset, Officer)
        .outerjoin(Officer, Officer.id == RecorderAsset.holder_id)
        .where(RecorderAsset.state == RecorderState.ISSUED.value, RecorderAsset.shift_ends_at < now - grace)
        .order_by(RecorderAsset.shift_ends_at, RecorderAsset.serial)
    )
    return [
        Overdue(recorder, officer, recorder.shift_ends_at + grace, now - recorder.shift_ends_at - grace)
        for recorder, officer in rows
        if recorder.shift_ends_at is not None
    ]


def held_by(session: Session, officer: Officer) -> list[RecorderAsset]:
    """The recorders that the officer holds now, by serial."""
    return list(
        session.scalars(
            select(RecorderAsset).where(RecorderAsset.holder_id == officer.id).order_by(RecorderAsset.serial)
        )
    )


def holder_of(session: Session, recorder: RecorderAsset) -> Officer | None:
    """Who holds the recorder now."""
    return find(session, Officer, recorder.holder_id) if recorder.holder_id else None


def apply_issue(session: Session, applied: AppliedEntry) -> None:
    """Write what an `issue` entry says; one whose body is gone still says that the recorder went or came."""
    leaf, fields = applied.leaf, applied.fields or {}
    at, ends_at = fields.get("at"), fields.get("shift_ends_at")
    enter(session, RecorderEvent(
        entry_id=leaf.id, recorder_id=leaf.facts["recorder"], event=EVENTS[leaf.facts["action"]],
        at=parse_stamp(at or leaf.time), officer_id=fields.get("officer"), purpose=fields.get("purpose", ""),
        officer_number=fields.get("officer_number"), means=fields.get("means", ""), actor=leaf.actor,
        shift_ends_at=parse_stamp(ends_at) if ends_at else None,
    ))  # fmt: skip


def _check_moment(recorder: RecorderAsset, at: datetime) -> None:
    if at > utc_now() + AHEAD or (recorder.state_at is not None and at <= recorder.state_at):
        last = stamp(recorder.state_at) if recorder.state_at else "-"
        raise IssueMomentError(serial=recorder.serial, at=stamp(at), last=last)


def _disagreeing(
    session: Session, serial: str, out: RecorderEvent, until: datetime | None, limit: int
) -> list[Conflict]:
    query = select(Recording).where(
        Recording.recorder_serial == serial,
        Recording.happened_at >= out.at,
        Recording.officer_number.is_not(None),
        Recording.officer_number != out.officer_number,
    )
    if until is not None:
        query = query.where(Recording.happened_at < until)
    rows = session.scalars(query.order_by(Recording.happened_at.desc()).limit(limit))
    return [Conflict(row, row.officer_number or "", out.officer_number or "") for row in rows]


def _submit(
    session: Session, submitter: Submitter, action: str, recorder_id: str, actor: str | None, body: dict[str, str]
) -> str:  # fmt: skip
    facts = {"recorder": recorder_id, "action": action}
    return submitter.submit(
        session, Draft(type="issue", actor=actor, about=(recorder_id,), facts=facts, body=body)
    )
