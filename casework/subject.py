"""What every register does: find a row by its id, keep its number unique, and say on the log what changed."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.field import CaseworkError
from core.canonical import Json
from core.db import Base
from vault.log.outbox import Submitter
from vault.log.submission import Draft


class TakenError(CaseworkError):
    """A number that must be unique is already in the register."""

    code = "casework.taken"
    sentence = "{what} {number} is registered already. Nothing was changed; look it up and change that entry."


class UnknownSubjectError(CaseworkError):
    """Something referred to is not there."""

    code = "casework.unknown"
    sentence = "There is no {what} '{id}' in this station's records. Nothing was changed; look it up again."


T = TypeVar("T", bound=Base)


def find(session: Session, table: type[T], identity: str) -> T:
    """A row by id. Raises UnknownSubjectError."""
    row = session.get(table, identity)
    if row is None:
        raise UnknownSubjectError(what=table.__tablename__, id=identity)
    return row


def say_of(
    session: Session, submitter: Submitter, kind: str, event: str, subject: str, actor: str | None, body: Json
) -> str:
    """Submit what happened to one subject of the register; returns the subject."""
    facts = {"event": event, kind: subject}
    submitter.submit(session, Draft(type=kind, actor=actor, about=(subject,), facts=facts, body=body))
    return subject


def refuse_taken(session: Session, table: type[Base], number: str, own_id: str | None) -> None:
    """A number belongs to one row only, which may be that of `own_id`. Raises TakenError."""
    taken_by = session.scalar(select(table).filter_by(number=number))
    if taken_by is not None and (own_id is None or taken_by is not session.get(table, own_id)):
        raise TakenError(what=table.__tablename__, number=number)
