"""The register of recorders: which there are, where each is, and what a custodian says of them (D64).

A recorder is in the register because a custodian entered it, or because it was seen in a bay: then it stands there
as "seen, not registered" until somebody does. Registering it later keeps what was seen. Every change is a
`recorder` entry; `state` follows from the recorder's events (casework.equipment.event).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import move_sessions
from casework.equipment.event import (
    CARE,
    RECORDER,
    RecorderEvent,
    RecorderState,
    enter,
    move_history,
)
from casework.field import CaseworkError, EmptyFieldError, FieldError, text
from casework.people.officer import Officer
from casework.subject import TakenError, UnknownSubjectError, find
from core.canonical import Json
from core.clock import new_id, parse_stamp
from core.errors import Exit
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

MODEL_LIMIT = 64
NOTE_LIMIT = 200
PAGE_SIZE = 100
SERIAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/#+-]{0,63}")  # plates have seven characters, USB has more


class SerialError(FieldError):
    """A serial in no form that a maker prints."""

    code = "casework.serial"
    sentence = (
        "{field} must be 1 to 64 letters, digits or signs without a space, and '{value}' is not. "
        "Nothing was changed; compare it with the plate on the device."
    )


class NotAvailableError(CaseworkError):
    """The recorder cannot be used for that, as it stands."""

    code = "casework.not_available"
    sentence = (
        "Recorder {serial} cannot be used for this as it stands: it is out, in repair, lost, retired, or not out at "
        "all. Nothing was changed; look at its page, take another, or have a custodian put its state right."
    )
    exit_code = Exit.NO


class StaleRecorderError(CaseworkError):
    """Somebody else changed the recorder in between."""

    code = "casework.stale_recorder"
    sentence = (
        "Recorder {serial} was changed by somebody else while you were editing it. Your change was not saved and "
        "nothing was lost: look at it as it is now and make your change there."
    )


@dataclass(frozen=True)
class RecorderFacts:
    """What is typed about a recorder; checked by `checked`."""

    serial: str
    model: str = ""
    officer_id: str | None = None
    card_serial: str = ""
    battery_serial: str = ""

    def checked(self, session: Session) -> Json:
        """The body of the entry. Raises FieldError, UnknownSubjectError."""
        if self.officer_id is not None:
            find(session, Officer, self.officer_id)
        return {
            "serial": serial_number(self.serial, "serial"),
            "model": text(self.model, "model", MODEL_LIMIT, required=False),
            "officer_id": self.officer_id,
            "card_serial": serial_number(self.card_serial, "card_serial", required=False),
            "battery_serial": serial_number(self.battery_serial, "battery_serial", required=False),
        }


@dataclass(frozen=True)
class RecorderFilter:
    """What the register is narrowed to; nothing set means everything that is not retired."""

    words: str = ""
    states: Sequence[RecorderState] = ()
    is_registered: bool | None = None
    firmware: str = ""
    overdue_before: datetime | None = None  # issued, and the shift ended before this


def register_recorder(
    session: Session, submitter: Submitter, actor: str | None, serial: str, model: str = "",
    officer_id: str | None = None, card_serial: str = "", battery_serial: str = "",
) -> str:  # fmt: skip
    """Enter a recorder in the register; returns its id, which is the one it was seen under if it was seen.

    Raises FieldError, TakenError, UnknownSubjectError.
    """
    body = RecorderFacts(serial, model, officer_id, card_serial, battery_serial).checked(session)
    known = recorder_by_serial(session, body["serial"])
    if known is not None and known.is_registered:
        raise TakenError(what="recorder_asset", number=body["serial"])
    return _submit(session, submitter, "registered", known.id if known else new_id(), actor, body)


def change_recorder(
    session: Session, submitter: Submitter, actor: str | None, recorder_id: str, facts: RecorderFacts,
    version: str = "",
) -> str:  # fmt: skip
    """Correct what the register says of a recorder, from the `version` that the editor saw; returns its id.

    Raises StaleRecorderError when somebody was faster, FieldError, TakenError, UnknownSubjectError.
    """
    recorder = find(session, RecorderAsset, recorder_id)
    if version and recorder.version != version:
        raise StaleRecorderError(serial=recorder.serial)
    body = facts.checked(session)
    known = recorder_by_serial(session, body["serial"])
    if known is not None and known.id != recorder_id and known.is_registered:
        raise TakenError(what="recorder_asset", number=body["serial"])
    event = "changed" if recorder.is_registered else "registered"
    return _submit(session, submitter, event, recorder_id, actor, body)


def care(
    session: Session, submitter: Submitter, actor: str | None, recorder_id: str, event: str, note: str = ""
) -> str:
    """Say that a recorder goes to repair, is mended, lost, found, retired or reinstated; returns its id.

    Raises NotAvailableError when it cannot from its present state, FieldError, UnknownSubjectError.
    """
    recorder = find(session, RecorderAsset, recorder_id)
    refuse_unless_allowed(recorder, event)
    body = {"note": text(note, "note", NOTE_LIMIT, required=False)}
    return _submit(session, submitter, event, recorder_id, actor, body)


def facts_of(recorder: RecorderAsset) -> RecorderFacts:
    """What the register says now, to change a part of it."""
    return RecorderFacts(
        recorder.serial, recorder.model, recorder.officer_id, recorder.card_serial, recorder.battery_serial
    )


def possible(recorder: RecorderAsset) -> list[str]:
    """What a custodian may say of the recorder as it stands."""
    return [event for event in CARE if (RecorderState(recorder.state), event) in RECORDER.table]


def refuse_unless_allowed(recorder: RecorderAsset, event: str) -> None:
    """Raises NotAvailableError."""
    if (RecorderState(recorder.state), event) not in RECORDER.table:
        raise NotAvailableError(serial=recorder.serial)


def serial_number(value: str | None, field: str, *, required: bool = True) -> str:
    """A serial as makers print them. Raises EmptyFieldError, SerialError."""
    kept = (value or "").strip()
    if not kept:
        if required:
            raise EmptyFieldError(field=field)
        return ""
    if SERIAL.fullmatch(kept) is None:
        raise SerialError(field=field, value=kept[:40])
    return kept


def recorder_by_serial(session: Session, serial: str) -> RecorderAsset | None:
    """The recorder with that serial, the registered one first."""
    query = select(RecorderAsset).where(RecorderAsset.serial == serial)
    return session.scalars(
        query.order_by(RecorderAsset.is_registered.desc(), RecorderAsset.id).limit(1)
    ).first()


def known_recorder(session: Session, serial: str) -> RecorderAsset:
    """As `recorder_by_serial`. Raises UnknownSubjectError."""
    recorder = recorder_by_serial(session, serial.strip())
    if recorder is None:
        raise UnknownSubjectError(what="recorder_asset", id=serial[:40])
    return recorder


def list_recorders(
    session: Session, wanted: RecorderFilter | None = None, *, after: str = "", limit: int = PAGE_SIZE
) -> list[RecorderAsset]:
    """Recorders by serial; `after` is the serial of the last one seen."""
    query = _narrowed(wanted or RecorderFilter()).where(RecorderAsset.serial > after)
    return list(session.scalars(query.order_by(RecorderAsset.serial).limit(limit)))


def apply_recorder(session: Session, applied: AppliedEntry) -> None:
    """Write what a `recorder` entry says."""
    leaf, fields = applied.leaf, applied.fields or {}
    event, recorder_id = leaf.facts["event"], leaf.facts["recorder"]
    if event in CARE:
        enter(session, RecorderEvent(
            entry_id=leaf.id, recorder_id=recorder_id, at=parse_stamp(leaf.time), event=event,
            purpose=fields.get("note", ""), actor=leaf.actor,
        ))  # fmt: skip
    elif applied.fields is not None:
        recorder = session.merge(
            RecorderAsset(
                id=recorder_id, serial=fields["serial"], model=fields.get("model", ""),
                officer_id=fields.get("officer_id"), card_serial=fields.get("card_serial", ""),
                battery_serial=fields.get("battery_serial", ""), is_registered=True, version=leaf.id,
            )
        )  # fmt: skip
        session.flush()
        _take_over_seen(session, recorder)


def _take_over_seen(session: Session, recorder: RecorderAsset) -> None:
    """What was seen under this serial before, or by another order of the entries, is this recorder's."""
    seen = select(RecorderAsset).where(
        RecorderAsset.serial == recorder.serial, RecorderAsset.id != recorder.id, ~RecorderAsset.is_registered
    )
    for other in session.scalars(seen).all():
        move_sessions(session, other.id, recorder)
        move_history(session, other.id, recorder)
        session.delete(other)
    session.flush()


def _narrowed(wanted: RecorderFilter) -> Select[RecorderAsset]:
    states = [state.value for state in wanted.states]
    query = select(RecorderAsset).where(
        RecorderAsset.state.in_(states) if states else RecorderAsset.state != RecorderState.RETIRED.value
    )
    if wanted.is_registered is not None:
        query = query.where(RecorderAsset.is_registered.is_(wanted.is_registered))
    if wanted.firmware:
        query = query.where(RecorderAsset.firmware == wanted.firmware)
    if wanted.overdue_before is not None:
        query = query.where(
            RecorderAsset.state == RecorderState.ISSUED.value,
            RecorderAsset.shift_ends_at < wanted.overdue_before,
        )
    if wanted.words:
        held = select(Officer.id).where(
            or_(*(part.contains(wanted.words, autoescape=True) for part in (Officer.number, Officer.name)))
        )
        columns = (RecorderAsset.serial, RecorderAsset.model, RecorderAsset.card_serial)
        looked_in = [column.contains(wanted.words, autoescape=True) for column in columns]
        query = query.where(
            or_(*looked_in, RecorderAsset.holder_id.in_(held), RecorderAsset.officer_id.in_(held))
        )
    return query


def _submit(
    session: Session, submitter: Submitter, event: str, recorder_id: str, actor: str | None, body: Json
) -> str:
    facts = {"event": event, "recorder": recorder_id}
    submitter.submit(
        session, Draft(type="recorder", actor=actor, about=(recorder_id,), facts=facts, body=body)
    )
    return recorder_id
