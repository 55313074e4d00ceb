"""Docking sessions: one recorder in one bay, from being recognised to being taken away.

Invariants: a session is written only once the recorder was matched to a profile; its end and its entry on the
log are one transaction; `complete` means that every file listed on the medium has a verified receipt,
anything less is `partial` with the failures named.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, BigInteger, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.canonical import Json
from core.clock import new_id, utc_now
from core.db import Base, UtcDateTime
from core.states import Machine, advance
from devices.recorder import Recorder
from vault.log.outbox import Submitter
from vault.log.submission import Draft

ABOUT_LIMIT = 256  # recordings named by the session's entry; each names its session anyway
FAILURES_LIMIT = 500  # failures kept with the session's entry


class Origin(StrEnum):
    """How a recording came in."""

    DOCK = "dock"
    HAND = "hand"
    INBOX = "inbox"


class SessionState(StrEnum):
    """Where a docking session stands."""

    ATTACHED = "attached"
    IDENTIFIED = "identified"
    QUARANTINED = "quarantined"
    OFFLOADING = "offloading"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"
    PARTIAL = "partial"
    RELEASED = "released"


S = SessionState
DOCKING = Machine(
    "session",
    SessionState,
    {
        (S.ATTACHED, "identify"): S.IDENTIFIED,
        (S.ATTACHED, "quarantine"): S.QUARANTINED,
        (S.IDENTIFIED, "offload"): S.OFFLOADING,
        (S.QUARANTINED, "offload"): S.OFFLOADING,
        (S.OFFLOADING, "interrupt"): S.INTERRUPTED,
        (S.INTERRUPTED, "resume"): S.OFFLOADING,
        (S.OFFLOADING, "complete"): S.COMPLETE,
        (S.OFFLOADING, "fall_short"): S.PARTIAL,
        (S.COMPLETE, "release"): S.RELEASED,
        (S.PARTIAL, "release"): S.RELEASED,
    },
)


class DockingSession(Base):
    """One recorder's stay. `bay` is None by hand and for the inbox; `failures` are {path, reason}."""

    __tablename__ = "docking_session"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default=SessionState.ATTACHED, index=True)
    origin: Mapped[str]
    bay: Mapped[int | None]
    recorder_serial: Mapped[str] = mapped_column(default="", index=True)
    officer_number: Mapped[str | None]
    profile: Mapped[str]
    transport: Mapped[str]
    files: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[list[Json]] = mapped_column(JSON, default=list)
    attached_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class Circumstance:
    """How and where a recorder is being pulled. `officer_number` is what a person said, by hand only."""

    origin: Origin
    bay: int | None = None
    officer_number: str | None = None


def move(session: Session, row: DockingSession, event: str, reason: str = "") -> None:
    """Move a session and write its history. Raises IllegalEventError."""
    advance(session, DOCKING, row, event, reason)


def open_session(session: Session, recorder: Recorder, circumstance: Circumstance) -> DockingSession:
    """A session in `offloading`: the interrupted one of this recorder goes on, otherwise a new one begins."""
    row = _interrupted(session, recorder, circumstance)
    if row is not None:
        row.bay, row.transport = circumstance.bay, recorder.transport
        move(session, row, "resume")
        return row
    row = DockingSession(
        id=new_id(), state=S.ATTACHED, origin=circumstance.origin, bay=circumstance.bay,
        recorder_serial=recorder.identity.serial, officer_number=circumstance.officer_number,
        profile=recorder.profile_id, transport=recorder.transport, attached_at=utc_now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    move(session, row, "identify", f"profile {recorder.profile_id}")
    move(session, row, "offload")
    return row


def finish_session(
    session: Session, submitter: Submitter, row: DockingSession, recordings: list[str], failures: list[Json]
) -> None:
    """Close the session and put its entry on the way to the log."""
    outcome = S.PARTIAL if failures else S.COMPLETE
    move(session, row, "fall_short" if failures else "complete", f"{len(failures)} failures")
    row.failures, row.ended_at = failures, utc_now()
    submitter.submit(
        session,
        Draft(
            type="session",
            id=row.id,  # asked for twice, it is one entry
            about=tuple(recordings[:ABOUT_LIMIT]),
            facts={"files": row.files, "bytes": row.bytes, "outcome": outcome.value, "session": row.id},
            body={
                "recorder_serial": row.recorder_serial, "officer_number": row.officer_number, "bay": row.bay,
                "profile": row.profile, "transport": row.transport, "failures": failures[:FAILURES_LIMIT],
            },
        ),
    )  # fmt: skip


def interrupt_session(session: Session, row: DockingSession, reason: str) -> None:
    """The recorder left, or the dock stopped; the session waits for it."""
    move(session, row, "interrupt", reason)


def release_session(session: Session, session_id: str) -> None:
    """The recorder was taken away after its session had ended; anything else is left as it is."""
    row = session.get(DockingSession, session_id)
    if row is not None and row.state in {S.COMPLETE, S.PARTIAL}:
        move(session, row, "release")


def _interrupted(session: Session, recorder: Recorder, circumstance: Circumstance) -> DockingSession | None:
    """The latest interrupted session of this recorder; one without a serial is known only by its bay."""
    wanted = (
        select(DockingSession)
        .where(
            DockingSession.state == S.INTERRUPTED,
            DockingSession.origin == circumstance.origin,
            DockingSession.recorder_serial == recorder.identity.serial,
            DockingSession.profile == recorder.profile_id,
        )
        .order_by(DockingSession.attached_at.desc())
    )
    if not recorder.identity.serial:
        wanted = wanted.where(DockingSession.bay == circumstance.bay)
    return session.scalars(wanted.limit(1)).first()
