"""What happened to a recorder, and the state that it comes to.

Invariant: the state of a recorder is the fold of its events in the order of their times, whatever the order in
which the projections hear of them, and however often: an event has its entry's id and counts once. An event that
the machine has no row for is kept in the history and moves nothing, because the log is not rewritten; what people
ask for is checked before it is submitted.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, Select, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.equipment.asset import RecorderAsset
from core.db import Base, UtcDateTime
from core.states import Machine
from vault.log.outbox import OutboxRow, RowState

HAND_OUT, HAND_BACK, DOCK = "hand_out", "hand_back", "dock"


class RecorderState(StrEnum):
    """Where a recorder is."""

    AVAILABLE = "available"
    ISSUED = "issued"
    DOCKED = "docked"
    REPAIR = "repair"
    LOST = "lost"
    RETIRED = "retired"


S = RecorderState
RECORDER = Machine(
    "recorder",
    RecorderState,
    {
        (S.AVAILABLE, HAND_OUT): S.ISSUED,
        (S.DOCKED, HAND_OUT): S.ISSUED,
        (S.ISSUED, HAND_BACK): S.AVAILABLE,
        (S.DOCKED, HAND_BACK): S.AVAILABLE,  # out of its bay, onto the shelf
        (S.AVAILABLE, DOCK): S.DOCKED,
        (S.ISSUED, DOCK): S.DOCKED,
        (S.DOCKED, DOCK): S.DOCKED,
        (S.LOST, DOCK): S.DOCKED,  # it turned up
        (S.REPAIR, DOCK): S.REPAIR,  # what is on it is sealed; it stays out of use
        (S.RETIRED, DOCK): S.RETIRED,
        (S.AVAILABLE, "send_to_repair"): S.REPAIR,
        (S.DOCKED, "send_to_repair"): S.REPAIR,
        (S.ISSUED, "send_to_repair"): S.REPAIR,
        (S.REPAIR, "mend"): S.AVAILABLE,
        (S.AVAILABLE, "report_lost"): S.LOST,
        (S.DOCKED, "report_lost"): S.LOST,
        (S.ISSUED, "report_lost"): S.LOST,
        (S.REPAIR, "report_lost"): S.LOST,
        (S.LOST, "find"): S.AVAILABLE,
        (S.AVAILABLE, "retire"): S.RETIRED,
        (S.DOCKED, "retire"): S.RETIRED,
        (S.REPAIR, "retire"): S.RETIRED,
        (S.LOST, "retire"): S.RETIRED,
        (S.RETIRED, "reinstate"): S.AVAILABLE,
    },
)
CARE = ("send_to_repair", "mend", "report_lost", "find", "retire", "reinstate")
"""What a custodian says of a recorder; handing out, handing back and docking have entries of their own."""


class RecorderEvent(Base):
    """One line of a recorder's history; `purpose` is what for, or why."""

    __tablename__ = "recorder_event"
    __table_args__ = (Index("ix_recorder_event_recorder_at", "recorder_id", "at", "entry_id"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    recorder_id: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    event: Mapped[str]
    officer_id: Mapped[str | None]
    officer_number: Mapped[str | None]  # as it was then
    purpose: Mapped[str] = mapped_column(default="")
    means: Mapped[str] = mapped_column(default="")
    shift_ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    actor: Mapped[str | None]


def enter(session: Session, event: RecorderEvent) -> None:
    """Add the event to its recorder's history, once, and bring the recorder's state up to it."""
    recorder = session.get(RecorderAsset, event.recorder_id)
    if recorder is None or session.get(RecorderEvent, event.entry_id) is not None:
        return
    session.add(event)
    session.flush()
    if recorder.state_at is None or event.at > recorder.state_at:
        _step(recorder, event)
    else:
        fold(session, recorder)
    session.flush()


def fold(session: Session, recorder: RecorderAsset) -> None:
    """Work the recorder's state out from its whole history."""
    recorder.state, recorder.state_at = RecorderState.AVAILABLE.value, None
    recorder.holder_id = recorder.shift_ends_at = None
    for event in session.scalars(_of(recorder.id).order_by(RecorderEvent.at, RecorderEvent.entry_id)):
        _step(recorder, event)


def move_history(session: Session, old_id: str, recorder: RecorderAsset) -> None:
    """The events of a recorder that was only seen become those of the one that is registered."""
    session.execute(
        update(RecorderEvent).where(RecorderEvent.recorder_id == old_id).values(recorder_id=recorder.id)
    )
    fold(session, recorder)


def history(session: Session, recorder_id: str, limit: int = 200) -> list[RecorderEvent]:
    """The recorder's events, the last first."""
    newest = _of(recorder_id).order_by(RecorderEvent.at.desc(), RecorderEvent.entry_id.desc())
    return list(session.scalars(newest.limit(limit)))


def last_before(session: Session, recorder_id: str, moment: datetime) -> RecorderEvent | None:
    """The last event at or before a moment; what the log refused never happened."""
    newest = _of(recorder_id).order_by(RecorderEvent.at.desc(), RecorderEvent.entry_id.desc())
    return session.scalar(
        newest.where(RecorderEvent.at <= moment, RecorderEvent.entry_id.not_in(refused())).limit(1)
    )


def refused() -> Select[str]:
    """Ids of entries that the log did not take."""
    return select(OutboxRow.id).where(OutboxRow.state == RowState.REFUSED)


def _of(recorder_id: str) -> Select[RecorderEvent]:
    return select(RecorderEvent).where(RecorderEvent.recorder_id == recorder_id)


def _step(recorder: RecorderAsset, event: RecorderEvent) -> None:
    recorder.state_at = event.at
    after = RECORDER.table.get((RecorderState(recorder.state), event.event))
    if after is None:
        return
    recorder.state = after.value
    is_out = after is RecorderState.ISSUED
    recorder.holder_id = event.officer_id if is_out else None
    recorder.shift_ends_at = event.shift_ends_at if is_out else None
