"""The omission statements of sessions that have ended, as the console reads them: the private parts of log entries.

Invariants: a statement is given only whole, with every digest that its head names and the counts that the session's
public facts sign; the rows are projected and a reindex makes them anew, except where the bodies were disposed of.
"""

from __future__ import annotations

from sqlalchemy import JSON, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.canonical import Json
from core.db import Base
from ingest.statement import Page, Sealable, StatementError, joined
from vault.log.outbox import AppliedEntry


class SessionStatement(Base):
    """The head of a session's statement, which is the whole of a short one; its id is that of the session's entry."""

    __tablename__ = "session_statement"

    session_id: Mapped[str] = mapped_column(primary_key=True)
    head: Mapped[Json] = mapped_column(JSON)


class StatementPage(Base):
    """One page of a long statement; its id is that of its entry."""

    __tablename__ = "statement_page"

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(index=True)
    lists: Mapped[Json] = mapped_column(JSON)


def apply_session(session: Session, applied: AppliedEntry) -> None:
    """The projection of `session` entries; those of earlier versions had no statement."""
    head = (applied.fields or {}).get("statement")
    if head is not None:
        session.merge(SessionStatement(session_id=applied.leaf.id, head=head))


def apply_page(session: Session, applied: AppliedEntry) -> None:
    """The projection of `statement` entries."""
    if applied.fields is not None:
        leaf = applied.leaf
        session.merge(StatementPage(id=leaf.id, session_id=leaf.facts["session"], lists=applied.fields))


def statement_of(session: Session, session_id: str, counts: Json | None) -> Json | None:
    """The whole statement of a session, None when there is none; `counts` as its entry's facts say them.

    Raises StatementError when pages are missing, or it is not what the log says of it.
    """
    row = session.get(SessionStatement, session_id)
    if row is None:
        return None
    found = session.scalars(select(StatementPage).where(StatementPage.session_id == session_id))
    here = {page.id: page.lists for page in found}
    named = [page["id"] for page in row.head.get("pages", [])]
    lists = [here[one] for one in named if one in here]
    whole = joined(row.head, lists)
    pages = tuple(Page(one, page) for one, page in zip(named, lists, strict=True))
    if Sealable(row.head, pages).counts() != counts:
        raise StatementError(session=session_id, why="it counts other things than its entry")
    return whole
