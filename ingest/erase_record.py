"""What the log says was erased from recorders: a projection of `erase` entries, and the dock's memory after a replay.

Invariant: a row here is a file that was verified gone, or not found when its recorder came back; the recording itself
is in the vault as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from ingest.erase_rule import ENDED, ERASED
from ingest.recording import SEALED, IngestRecording, RecordingState
from vault.log.outbox import AppliedEntry, Projections


class ErasedFile(Base):
    """One file that is not on its recorder any more, by its recording. `result` is the log's word."""

    __tablename__ = "erased_file"

    recording_id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    result: Mapped[str]
    erased_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SessionErasing(Base):
    """The end of one session's erasing. `sectors_written` (512 bytes) is None where the kernel did not say."""

    __tablename__ = "session_erasing"

    session_id: Mapped[str] = mapped_column(primary_key=True)
    erased: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[int]
    sectors_written: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class Erasing:
    """What one session did to its medium; `kept` and `sectors_written` are told at the end of it."""

    erased: int
    bytes: int
    kept: int | None
    sectors_written: int | None
    is_over: bool


def register(projections: Projections) -> None:
    """Tell the outbox which entries are remembered here."""
    projections.on("erase", apply_erase)
    projections.owns(ErasedFile, SessionErasing)


def apply_erase(session: Session, applied: AppliedEntry) -> None:
    """The rows of one entry; called twice, they are the same."""
    facts, at = applied.leaf.facts, parse_stamp(applied.leaf.time)
    if facts.get("stage") == ERASED:
        recording = applied.leaf.about[1]
        session.merge(
            ErasedFile(
                recording_id=recording, session_id=facts["session"], bytes=facts["bytes"], result=facts["result"],
                erased_at=at,
            )
        )  # fmt: skip
        if applied.index is not None:
            session.execute(
                update(IngestRecording)
                .where(IngestRecording.id == recording, IngestRecording.state.in_(SEALED))
                .values(state=RecordingState.ERASED)
            )
    elif facts.get("stage") == ENDED:
        session.merge(
            SessionErasing(
                session_id=facts["session"], erased=facts["erased"], bytes=facts["bytes"], kept=facts["kept"],
                sectors_written=facts.get("sectors_written"), ended_at=at,
            )
        )  # fmt: skip


def erasing_of(session: Session, session_id: str) -> Erasing | None:
    """What a docking session erased; None when it wrote nothing to its medium."""
    ended = session.get(SessionErasing, session_id)
    if ended is not None:
        return Erasing(ended.erased, ended.bytes, ended.kept, ended.sectors_written, is_over=True)
    erased = select(func.count(), func.coalesce(func.sum(ErasedFile.bytes), 0))
    count, total = session.execute(erased.where(ErasedFile.session_id == session_id)).one()
    return Erasing(count, int(total), None, None, is_over=False) if count else None


def erased_among(session: Session, recording_ids: list[str]) -> dict[str, datetime]:
    """When each of these recordings was erased from its recorder; the others are left out. A page's worth at once."""
    rows = session.execute(
        select(ErasedFile.recording_id, ErasedFile.erased_at).where(
            ErasedFile.recording_id.in_(recording_ids)
        )
    )
    return {row.recording_id: row.erased_at for row in rows}
