"""What an officer answered to a question that a bay asks: the way from the console to the dock.

Invariants: a question has one answer, the first; it is bound to the question's id, which the tile carries while the
bay asks and which is never used again, so that it never speaks for another device; the dock takes an answer only once
the claim that it was made with is on the log. A row alone opens nothing for good: the log refuses a session that is
quarantined under a claim that nobody made (casework.log_rule). Workspace: a reindex leaves the table alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.errors import Exit
from ingest.error import IngestError
from vault.log.index import EntryRow


class AlreadyAnsweredError(IngestError):
    """Somebody else was faster."""

    code = "ingest.already_answered"
    sentence = (
        "Somebody has answered for this bay already. Nothing was changed by your answer and nothing is lost; look at "
        "the bay's tile, and ask a custodian if the footage is yours."
    )
    exit_code = Exit.NO


class BayAnswer(Base):
    """One answer. `question` is a tile's question, or the session whose holder named himself."""

    __tablename__ = "bay_answer"

    question: Mapped[str] = mapped_column(primary_key=True)
    claim_id: Mapped[str] = mapped_column(index=True)  # the entry that says it on the log
    officer_number: Mapped[str]
    means: Mapped[str]  # how the officer was recognised: badge or pin
    at: Mapped[datetime] = mapped_column(UtcDateTime)


def refuse_second(session: Session, question: str) -> None:
    """Raises AlreadyAnsweredError; in the writing transaction of the answer, so that two kiosks never both give one."""
    if session.get(BayAnswer, question) is not None:
        raise AlreadyAnsweredError


def give_answer(session: Session, question: str, claim_id: str, officer_number: str, means: str) -> None:
    """Tell the dock what was claimed. Raises AlreadyAnsweredError."""
    refuse_second(session, question)
    session.add(
        BayAnswer(
            question=question, claim_id=claim_id, officer_number=officer_number, means=means, at=utc_now()
        )
    )  # fmt: skip


def is_answered(session: Session, questions: Iterable[str | None]) -> bool:
    """Whether any of these has an answer, on the log already or not."""
    given = select(BayAnswer.question).where(BayAnswer.question.in_([one for one in questions if one]))
    return session.scalar(given.limit(1)) is not None


def answer_to(session: Session, question: str) -> BayAnswer | None:
    """The answer to a question, None until its claim is on the log."""
    on_log = select(EntryRow.id).where(EntryRow.id == BayAnswer.claim_id)
    return session.scalar(select(BayAnswer).where(BayAnswer.question == question, on_log.exists()))


def answer_behind(session: Session, claim_id: str) -> BayAnswer | None:
    """The answer that was made with this claim; None after a lost database."""
    return session.scalar(select(BayAnswer).where(BayAnswer.claim_id == claim_id).limit(1))
