"""The case: what the footage is evidence in.

A case is opened and changed by `case` entries; each carries the whole private body, so that the last entry is
the case and the earlier ones are its history. Two people may edit at once: a change names the version it was
made from (the id of the last entry), and the second one is told instead of overwriting the first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Date, Index, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import CaseworkError, DateError, choice, day, text
from casework.people.unit import Unit
from casework.subject import TakenError, UnknownSubjectError, find
from core.canonical import Json
from core.clock import new_id, parse_stamp, utc_now
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

NUMBER_LIMIT = 64  # 案号 with year, bureau and serial stays well below
TITLE_LIMIT = 200
PARTY_LIMIT = 200
PAGE_SIZE = 100
A_DAY = timedelta(days=1)


class Stage(StrEnum):
    """The seven stages of a case (D23), in order."""

    FILING = "filing"
    INVESTIGATION = "investigation"
    EVIDENCE = "evidence"
    REVIEW = "review"
    DECISION = "decision"
    SERVICE = "service"
    EXECUTION = "execution"


class Kind(StrEnum):
    """What kind of administrative act the case is about."""

    CHECK = "check"
    PENALTY = "penalty"
    COMPULSORY_MEASURE = "compulsory_measure"
    PERMIT = "permit"


class StaleCaseError(CaseworkError):
    """Somebody else changed the case in between."""

    code = "casework.stale_case"
    sentence = (
        "Case {number} was changed by somebody else while you were editing it. "
        "Your change was not saved and nothing was lost: look at the new version and make your change there."
    )


class CaseFile(Base):
    """A case as its last entry says it; `version` is that entry's id."""

    __tablename__ = "case_file"
    __table_args__ = (
        Index("ix_case_file_opened", "opened_on", "id"),
        Index("ix_case_file_stage", "stage", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]
    kind: Mapped[str]
    stage: Mapped[str]
    unit_id: Mapped[str | None]
    party: Mapped[str]
    opened_on: Mapped[date | None] = mapped_column(Date)
    opened_by: Mapped[str | None]
    version: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    is_disposed: Mapped[bool] = mapped_column(default=False)


@dataclass(frozen=True)
class CaseFacts:
    """What is typed about a case; dates as year-month-day."""

    number: str
    title: str
    kind: str
    opened_on: str | date | None
    stage: str = Stage.FILING
    unit_id: str | None = None
    party: str = ""

    def checked(self, session: Session) -> Json:
        """The body of the entry. Raises FieldError, UnknownSubjectError."""
        if self.unit_id is not None:
            find(session, Unit, self.unit_id)
        opened_on = day(self.opened_on, "opened_on")
        if opened_on > (utc_now() + A_DAY).date():  # it may be tomorrow already where the station stands
            raise DateError(field="opened_on", value=opened_on.isoformat())
        return {
            "number": text(self.number, "number", NUMBER_LIMIT),
            "title": text(self.title, "title", TITLE_LIMIT),
            "kind": choice(self.kind, "kind", Kind).value,
            "stage": choice(self.stage, "stage", Stage).value,
            "unit_id": self.unit_id,
            "party": text(self.party, "party", PARTY_LIMIT, required=False),
            "opened_on": opened_on.isoformat(),
        }


@dataclass(frozen=True)
class CasePage:
    """Up to a hundred cases, newest first; `next_cursor` asks for the ones after."""

    cases: list[CaseFile]
    next_cursor: str | None


def open_case(session: Session, submitter: Submitter, actor: str | None, facts: CaseFacts) -> str:
    """Open a case; returns its id. Raises FieldError, TakenError, UnknownSubjectError."""
    body = facts.checked(session)
    _refuse_taken(session, body["number"], None)
    case_id = new_id()
    _submit(session, submitter, "opened", case_id, actor, body)
    return case_id


def change_case(
    session: Session, submitter: Submitter, actor: str | None, case_id: str, facts: CaseFacts, version: str
) -> str:
    """Change a case from the `version` that the editor saw; returns the new version.

    Raises StaleCaseError when somebody was faster, FieldError, TakenError, UnknownSubjectError.
    """
    case = get_case(session, case_id)
    if case.version != version:
        raise StaleCaseError(number=case.number)
    body = facts.checked(session)
    _refuse_taken(session, body["number"], case_id)
    return _submit(session, submitter, "changed", case_id, actor, body)


def get_case(session: Session, case_id: str) -> CaseFile:
    """The case as it stands. Raises UnknownSubjectError."""
    case = session.get(CaseFile, case_id)
    if case is None:
        raise UnknownSubjectError(what="case", id=case_id)
    return case


def list_cases(
    session: Session, *, words: str = "", stages: Collection[Stage] = (), cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> CasePage:  # fmt: skip
    """Cases, the last opened first; `words` looks in number, title and party.

    A case id is a ULID, so it is the cursor too: the order of opening in this station.
    """
    query = select(CaseFile).order_by(CaseFile.id.desc()).limit(limit + 1)
    if words:
        query = query.where(
            or_(
                *(
                    column.contains(words, autoescape=True)
                    for column in (CaseFile.number, CaseFile.title, CaseFile.party)
                )
            )
        )
    if stages:
        query = query.where(CaseFile.stage.in_([str(stage) for stage in stages]))
    if cursor:
        query = query.where(CaseFile.id < cursor)
    found = list(session.scalars(query))
    page = found[:limit]
    return CasePage(page, page[-1].id if len(found) > limit else None)


def apply_case(session: Session, applied: AppliedEntry) -> None:
    """Write what a `case` entry says; a case whose body is gone stays listed as disposed."""
    case_id = applied.leaf.facts["case"]
    before = session.get(CaseFile, case_id)
    opened = applied.leaf.facts["event"] == "opened"
    fields = applied.fields or {}
    opened_on = fields.get("opened_on")
    session.merge(
        CaseFile(
            id=case_id,
            number=fields.get("number", ""),
            title=fields.get("title", ""),
            kind=fields.get("kind", ""),
            stage=fields.get("stage", ""),
            unit_id=fields.get("unit_id"),
            party=fields.get("party", ""),
            opened_on=date.fromisoformat(opened_on) if opened_on else None,
            opened_by=applied.leaf.actor if opened or before is None else before.opened_by,
            version=applied.leaf.id,
            changed_at=parse_stamp(applied.leaf.time),
            is_disposed=applied.fields is None,
        )
    )


def _submit(
    session: Session, submitter: Submitter, event: str, case_id: str, actor: str | None, body: Json
) -> str:
    return submitter.submit(
        session,
        Draft(type="case", actor=actor, about=(case_id,), facts={"event": event, "case": case_id}, body=body),
    )


def _refuse_taken(session: Session, number: str, own_id: str | None) -> None:
    taken_by = session.scalar(select(CaseFile.id).where(CaseFile.number == number))
    if taken_by is not None and taken_by != own_id:
        raise TakenError(what="case", number=number)
