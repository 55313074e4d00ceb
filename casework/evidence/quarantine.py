"""Docking sessions that were taken in quarantine, and what a custodian decided of each.

A recorder that the register did not answer for was read because an officer said "duty footage"; whether it is, somebody
who can look decides afterwards. Invariants: a decision is an entry of its own that names the session and its
recordings; it never erases, moves or opens anything, and a later one stands beside the earlier and counts; saying that
something is no duty footage takes a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import BigInteger, Index, Select, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.equipment.claim import DockClaim
from casework.equipment.event import refused
from casework.evidence.recording import Recording
from casework.field import CaseworkError, choice, text
from casework.subject import UnknownSubjectError
from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from core.errors import Exit
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.shape import Facts, Id
from vault.log.submission import Draft

NOTE_LIMIT = 500
PAGE_SIZE = 50
NAMED = 255  # recordings that a decision names beside its session; each names its session anyway
TEXT_LIMIT = 64  # of what a recorder says of itself


class Decision(StrEnum):
    """What a custodian makes of it."""

    ACCEPTED = "accepted"
    NOT_DUTY = "not_duty"


class QuarantineFacts(Facts):
    """A custodian decided what a quarantined session is. Why is private."""

    session: Id
    decision: Literal["accepted", "not_duty"]


class SameDecisionError(CaseworkError):
    """It stands so already."""

    code = "casework.same_decision"
    sentence = (
        "This was decided already, in the same way. Nothing was changed; look at who decided it and why, and decide "
        "otherwise only if you mean it."
    )
    exit_code = Exit.NO


class QuarantinedSession(Base):
    """One finished session that was taken in quarantine; `claim_id` is the claim that opened it."""

    __tablename__ = "quarantined_session"

    id: Mapped[str] = mapped_column(primary_key=True)
    claim_id: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    recorder_serial: Mapped[str] = mapped_column(index=True)  # empty where it said none
    profile: Mapped[str]
    officer_number: Mapped[str | None]
    bay: Mapped[int | None]
    standing: Mapped[str]  # why an officer was asked: what the register said (ingest.admission.Standing)
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str]


class QuarantineDecision(Base):
    """One `quarantine` entry, for ever."""

    __tablename__ = "quarantine_decision"
    __table_args__ = (Index("ix_quarantine_decision_session", "session_id", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str]
    decision: Mapped[str]
    note: Mapped[str]
    actor: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class Quarantined:
    """A session with the claim that opened it and what was decided, the last decision first."""

    session: QuarantinedSession
    claim: DockClaim | None
    decisions: tuple[QuarantineDecision, ...]

    @property
    def standing(self) -> Decision | None:
        """What counts; None while nobody has decided."""
        return Decision(self.decisions[0].decision) if self.decisions else None


def decide(
    session: Session, submitter: Submitter, actor: str, session_id: str, decision: str, note: str = ""
) -> str:
    """Say what a quarantined session is; the entry's id.

    Raises UnknownSubjectError, SameDecisionError, FieldError.
    """
    said = choice(decision, "decision", Decision)
    kept = text(note, "note", NOTE_LIMIT, required=said is Decision.NOT_DUTY)
    if quarantined(session, session_id).standing is said:
        raise SameDecisionError
    named = session.scalars(select(Recording.id).where(Recording.session_id == session_id).limit(NAMED))
    facts = {"session": session_id, "decision": said.value}
    draft = Draft(
        type="quarantine", actor=actor, about=(session_id, *named), facts=facts, body={"note": kept}
    )
    return submitter.submit(session, draft)


def quarantined(session: Session, session_id: str) -> Quarantined:
    """One of them. Raises UnknownSubjectError."""
    found = session.scalar(_taken().where(QuarantinedSession.id == session_id))
    if found is None:
        raise UnknownSubjectError(what="quarantined_session", id=session_id)
    return _with_words(session, [found])[0]


def undecided(session: Session, limit: int = PAGE_SIZE) -> list[Quarantined]:
    """What waits for a custodian, the longest first."""
    query = _taken().where(QuarantinedSession.id.not_in(_decided())).order_by(QuarantinedSession.at)
    return _with_words(session, session.scalars(query.limit(limit)).all())


def count_undecided(session: Session) -> int:
    """How many wait."""
    waiting = _taken().where(QuarantinedSession.id.not_in(_decided()))
    return session.scalar(select(func.count()).select_from(waiting.subquery())) or 0


def decided(session: Session, *, before: str = "", limit: int = PAGE_SIZE) -> list[Quarantined]:
    """What was decided, the newest session first; `before` is the last one seen."""
    query = _taken().where(QuarantinedSession.id.in_(_decided())).order_by(QuarantinedSession.id.desc())
    query = query.where(QuarantinedSession.id < before) if before else query
    return _with_words(session, session.scalars(query.limit(limit)).all())


def among(session: Session, session_ids: Iterable[str]) -> dict[str, Quarantined]:
    """Which of these sessions were taken in quarantine."""
    query = _taken().where(QuarantinedSession.id.in_(set(session_ids)))
    return {one.session.id: one for one in _with_words(session, session.scalars(query).all())}


def apply_quarantined(session: Session, applied: AppliedEntry) -> None:
    """Write what a `session` entry says when it was taken in quarantine; one whose body is gone keeps its place."""
    leaf, fields = applied.leaf, applied.fields or {}
    claim = leaf.facts.get("quarantined")
    if claim is None:
        return
    statement = fields.get("statement")
    said = statement.get("quarantine") if isinstance(statement, dict) else None
    bay = fields.get("bay")
    session.merge(QuarantinedSession(
        id=leaf.id, claim_id=claim, at=parse_stamp(leaf.time), recorder_serial=_short(fields.get("recorder_serial")),
        profile=_short(fields.get("profile")), officer_number=_short(fields.get("officer_number")) or None,
        bay=bay if isinstance(bay, int) and not isinstance(bay, bool) else None,
        standing=_short(said.get("standing")) if isinstance(said, dict) else "",
        files=leaf.facts["files"], bytes=leaf.facts["bytes"], outcome=leaf.facts["outcome"],
    ))  # fmt: skip


def apply_quarantine(session: Session, applied: AppliedEntry) -> None:
    """Write what a `quarantine` entry says."""
    leaf, fields = applied.leaf, applied.fields or {}
    session.merge(QuarantineDecision(
        id=leaf.id, session_id=leaf.facts["session"], decision=leaf.facts["decision"], note=fields.get("note", ""),
        actor=leaf.actor, at=parse_stamp(leaf.time),
    ))  # fmt: skip


def _taken() -> Select[QuarantinedSession]:
    """What the log refused never happened."""
    return select(QuarantinedSession).where(QuarantinedSession.id.not_in(refused()))


def _decided() -> Select[str]:
    return select(QuarantineDecision.session_id).where(QuarantineDecision.id.not_in(refused()))


def _with_words(session: Session, found: Sequence[QuarantinedSession]) -> list[Quarantined]:
    """The claims and decisions of a page in two queries."""
    ids = [one.id for one in found]
    by_id = {
        one.id: one
        for one in session.scalars(select(DockClaim).where(DockClaim.id.in_([s.claim_id for s in found])))
    }
    said: dict[str, list[QuarantineDecision]] = {}
    query = select(QuarantineDecision).where(
        QuarantineDecision.session_id.in_(ids), QuarantineDecision.id.not_in(refused())
    )
    for row in session.scalars(query.order_by(QuarantineDecision.at.desc(), QuarantineDecision.id.desc())):
        said.setdefault(row.session_id, []).append(row)
    return [Quarantined(one, by_id.get(one.claim_id), tuple(said.get(one.id, ()))) for one in found]


def _short(value: Any) -> str:
    return str(value)[:TEXT_LIMIT] if value else ""
