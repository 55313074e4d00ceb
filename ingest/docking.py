"""Docking sessions: one recorder in one bay, from being recognised to being taken away.

Invariants: a session is written only once the recorder was matched to a profile; its end, its omission statement and
their entries on the log are one transaction; `complete` means that every file listed on the medium has a verified
receipt and none of them is damaged, anything less is `partial` with the failures named; a session that was begun in
quarantine stays in it, under the claim of the officer who said that it is duty footage.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import JSON, BigInteger, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.canonical import Json, encode
from core.clock import new_id, utc_now
from core.db import Base, UtcDateTime
from core.states import Machine, advance
from devices.recorder import Recorder, SourceFile
from ingest.answer import BayAnswer, answer_behind
from ingest.circumstance import Circumstance
from ingest.recording import UNFINISHED, IngestRecording
from ingest.statement import Sealable
from vault.log.outbox import Submitter
from vault.log.submission import Draft

ABOUT_LIMIT = 256  # recordings named by the session's entry; each names its session anyway
FAILURES_BYTES = (
    256 * 1024
)  # of failures kept with the session's entry, whose body may have four times as much
TRANSCRIPT_BYTES = 128 * 1024  # of what was said on a serial line, in the same body
CANDIDATES = 16  # interrupted sessions that one recorder is compared with, the latest first
_Told = TypeVar("_Told", Json, str)


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
    """One recorder's stay. `bay` is None by hand and for the inbox; `failures` are {path, reason}.

    `quarantined` is the id of the claim under which a recorder that the register does not answer for was taken.
    """

    __tablename__ = "docking_session"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default=SessionState.ATTACHED, index=True)
    origin: Mapped[str]
    bay: Mapped[int | None]
    recorder_serial: Mapped[str] = mapped_column(default="", index=True)
    officer_number: Mapped[str | None]
    quarantined: Mapped[str | None]
    profile: Mapped[str]
    transport: Mapped[str]
    files: Mapped[int] = mapped_column(default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[list[Json]] = mapped_column(JSON, default=list)
    attached_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


def at_bay(bay: int | None) -> str:
    """Where a session goes on, as its history has it (ingest.bay_trouble reads it back)."""
    return "" if bay is None else f"bay {bay}"


def move(session: Session, row: DockingSession, event: str, reason: str = "") -> None:
    """Move a session and write its history. Raises IllegalEventError."""
    advance(session, DOCKING, row, event, reason)


def open_session(session: Session, recorder: Recorder, circumstance: Circumstance) -> DockingSession:
    """A session in `offloading`: the interrupted one of this recorder goes on, otherwise a new one begins."""
    row = _interrupted(session, recorder, circumstance)
    claim = circumstance.answer.claim_id if circumstance.answer else None
    if row is not None:
        row.bay, row.transport = circumstance.bay, recorder.transport
        row.quarantined = row.quarantined or claim
        move(session, row, "resume", at_bay(circumstance.bay))
        return row
    row = DockingSession(
        id=_new_session_id(session, circumstance), state=S.ATTACHED, origin=circumstance.origin,
        bay=circumstance.bay, recorder_serial=recorder.identity.serial, quarantined=claim,
        officer_number=circumstance.holder(None).number, profile=recorder.profile_id,
        transport=recorder.transport, attached_at=utc_now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    if claim is None:
        move(session, row, "identify", f"profile {recorder.profile_id}")
    else:
        move(session, row, "quarantine", circumstance.standing)
    move(session, row, "offload", at_bay(circumstance.bay))
    return row


def earlier_answer(session: Session, recorder: Recorder, circumstance: Circumstance) -> BayAnswer | None:
    """What an officer said of the interrupted session that would go on; None when nobody was asked of it."""
    row = _interrupted(session, recorder, circumstance)
    return answer_behind(session, row.quarantined) if row is not None and row.quarantined else None


def finish_session(
    session: Session,
    submitter: Submitter,
    row: DockingSession,
    recordings: list[str],
    failures: list[Json],
    statement: Sealable,
    circumstance: Circumstance,
) -> None:
    """Close the session and put its entry and its statement's pages on the way to the log."""
    outcome = S.PARTIAL if failures else S.COMPLETE
    move(session, row, "fall_short" if failures else "complete", f"{len(failures)} failures")
    row.failures, row.ended_at = failures, utc_now()
    for number, page in enumerate(statement.pages, 1):
        facts = {"session": row.id, "page": number, "pages": len(statement.pages)}
        submitter.submit(
            session, Draft(type="statement", id=page.id, about=(row.id,), facts=facts, body=page.lists)
        )
    submitter.submit(
        session,
        Draft(
            type="session",
            id=row.id,  # asked for twice, it is one entry
            about=tuple(recordings[:ABOUT_LIMIT]),
            facts={
                "files": row.files, "bytes": row.bytes, "outcome": outcome.value, "session": row.id,
                "statement": statement.counts(), **({"quarantined": row.quarantined} if row.quarantined else {}),
            },
            body=_body(row, failures, statement) | _met(circumstance),
        ),
    )  # fmt: skip


def _body(row: DockingSession, failures: list[Json], statement: Sealable) -> Json:
    """The private part of the session's entry (docs/formats/statement.md)."""
    said = statement.head.get("condition", {})
    return {
        "recorder_serial": row.recorder_serial, "officer_number": row.officer_number, "bay": row.bay,
        "profile": row.profile, "transport": row.transport,
        "ignored": statement.head["counts"].get("left_out", 0),
        "firmware": said.get("firmware", ""), "battery_percent": said.get("battery_percent"),
        "failures": _first_of(failures, FAILURES_BYTES), "failures_total": len(failures), "statement": statement.head,
    }  # fmt: skip


def _met(circumstance: Circumstance) -> Json:
    """What was met in the bay beside the medium: left out where there was nothing."""
    lines = [str(line) for line in circumstance.transcript.lines] if circumstance.transcript else []
    kept = _first_of(lines, TRANSCRIPT_BYTES)
    told: Json = {"transcript": kept, "transcript_lines": len(lines)} if lines else {}
    return told | ({"refused_interfaces": list(circumstance.refused)} if circumstance.refused else {})


def never_sealed(session: Session, session_id: str, on_medium: Collection[bytes]) -> list[str]:
    """Shown paths of what an earlier run of this session found, and neither the log nor the medium has."""
    unfinished = select(IngestRecording).where(
        IngestRecording.session_id == session_id, IngestRecording.state.in_(UNFINISHED)
    )
    return [row.shown_path for row in session.scalars(unfinished) if row.path not in on_medium]


def interrupt_session(session: Session, row: DockingSession, reason: str) -> None:
    """The recorder left, or the dock stopped; the session waits for it."""
    move(session, row, "interrupt", reason)


def release_session(session: Session, session_id: str) -> None:
    """The recorder was taken away after its session had ended; anything else is left as it is."""
    row = session.get(DockingSession, session_id)
    if row is not None and row.state in {S.COMPLETE, S.PARTIAL}:
        move(session, row, "release")


def _new_session_id(session: Session, circumstance: Circumstance) -> str:
    """The question's id for the first session that its answer begins, so that the claim names the session."""
    answer = circumstance.answer
    is_free = answer is not None and session.get(DockingSession, answer.question) is None
    return answer.question if answer is not None and is_free else new_id()


def _interrupted(session: Session, recorder: Recorder, circumstance: Circumstance) -> DockingSession | None:
    """The latest interrupted session that this recorder can go on with.

    A serial may repeat or be missing, so what is on the recorder decides: one of its files must be of that session.
    """
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
    candidates = list(session.scalars(wanted.limit(CANDIDATES)))
    if not candidates:
        return None
    here = {(f.path, f.size, f.modified_at) for f in recorder.files() if isinstance(f, SourceFile)}
    return next((row for row in candidates if _fits(session, row, here)), None)


def _fits(session: Session, row: DockingSession, here: set[tuple[bytes, int, datetime | None]]) -> bool:
    """Whether the medium holds a file of the session; a session without any is known only by its serial."""
    rows = list(session.scalars(select(IngestRecording).where(IngestRecording.session_id == row.id)))
    return any(recording.identity in here for recording in rows) if rows else bool(row.recorder_serial)


def _first_of(told: Sequence[_Told], room: int) -> list[_Told]:
    """As many as an entry's body has room for, in bytes."""
    kept = list[_Told]()
    for one in told:
        room -= len(encode(one)) + 1
        if room < 0:
            break
        kept.append(one)
    return kept
