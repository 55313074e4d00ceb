"""A recording's way from a name on a card to a receipt: the state machine and its table.

Invariant: a row's id is the id of the `ingest` entry that seals it, from the moment the file is found, so
that no crash can give one file two entries. The states are those of the design; a state and its reason are
written in the transaction of the fact that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.states import Machine, StateHistory, advance


class RecordingState(StrEnum):
    """Where an original file stands."""

    FOUND = "found"
    COPYING = "copying"
    COPIED = "copied"
    SUBMITTED = "submitted"
    VERIFIED = "verified"
    RECEIPTED = "receipted"
    ERASABLE = "erasable"
    ERASING = "erasing"
    ERASED = "erased"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"
    MISMATCHED = "mismatched"
    UNREADABLE = "unreadable"


R = RecordingState
RECORDING = Machine(
    "recording",
    RecordingState,
    {
        (R.FOUND, "copy"): R.COPYING,
        (R.FOUND, "fail"): R.UNREADABLE,
        (R.COPYING, "finish"): R.COPIED,
        (R.COPYING, "interrupt"): R.INTERRUPTED,
        (R.COPYING, "damage"): R.DAMAGED,
        (R.COPYING, "fail"): R.UNREADABLE,
        (R.INTERRUPTED, "copy"): R.COPYING,
        (R.COPIED, "submit"): R.SUBMITTED,
        (R.DAMAGED, "submit"): R.SUBMITTED,
        (R.SUBMITTED, "verify"): R.VERIFIED,
        (R.SUBMITTED, "mismatch"): R.MISMATCHED,
        (R.MISMATCHED, "retry"): R.FOUND,
        (R.VERIFIED, "receive"): R.RECEIPTED,
        (R.RECEIPTED, "allow_erase"): R.ERASABLE,
        (R.ERASABLE, "erase"): R.ERASING,
        (R.ERASING, "finish"): R.ERASED,
        (R.ERASABLE, "keep"): R.RECEIPTED,
        (R.ERASING, "keep"): R.RECEIPTED,
    },
)
SEALED = frozenset({R.RECEIPTED, R.ERASABLE, R.ERASING, R.ERASED})
ON_THE_WAY = frozenset(
    {R.SUBMITTED, R.VERIFIED}
)  # the log has it or will have it; the recorder is not needed
BATCH = 500  # ids in one query
UNFINISHED = frozenset({R.FOUND, R.INTERRUPTED})  # to be copied when the recorder is there again


class IngestRecording(Base):
    """One original file on one recorder. `path` is the recorder's raw bytes, `shown_path` for people.

    `edges_sha256` is the digest of the first and last MiB, to recognise the file without reading it whole.
    """

    __tablename__ = "ingest_recording"
    __table_args__ = (Index("ix_ingest_recording_known", "recorder_serial", "path"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str | None] = mapped_column(ForeignKey("docking_session.id"), index=True)
    state: Mapped[str] = mapped_column(default=RecordingState.FOUND, index=True)
    path: Mapped[bytes]
    shown_path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    modified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    media: Mapped[str]
    recorder_serial: Mapped[str] = mapped_column(default="")
    officer_number: Mapped[str | None]
    sha256: Mapped[str | None]
    edges_sha256: Mapped[str | None]
    entry_index: Mapped[int | None]
    receipted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(default="")

    @property
    def identity(self) -> tuple[bytes, int, datetime | None]:
        """What tells two files of one recorder apart without reading them."""
        return self.path, self.size, self.modified_at


def move(session: Session, row: IngestRecording, event: str, reason: str = "") -> None:
    """Move a recording and write its history. Raises IllegalEventError."""
    row.reason = reason
    advance(session, RECORDING, row, event, reason)


def note_damage(session: Session, recording_id: str) -> None:
    """Remember from the log that a recording was sealed with holes, as the history of this machine would have it."""
    session.add(
        StateHistory(
            machine=RECORDING.name, subject_id=recording_id, before=R.COPYING, event="damage", after=R.DAMAGED,
            reason="", at=utc_now(),
        )
    )  # fmt: skip


def damaged_among(session: Session, recording_ids: Sequence[str]) -> set[str]:
    """Which of these recordings were sealed with holes the last time that they were copied."""
    found: set[str] = set()
    for start in range(0, len(recording_ids), BATCH):
        query = (
            select(StateHistory.subject_id, StateHistory.after)
            .where(
                StateHistory.machine == RECORDING.name,
                StateHistory.subject_id.in_(recording_ids[start : start + BATCH]),
                StateHistory.after.in_([R.DAMAGED, R.COPIED]),
            )
            .order_by(StateHistory.id)
        )
        last = {row.subject_id: row.after for row in session.execute(query)}
        found |= {subject for subject, after in last.items() if after == R.DAMAGED}
    return found
