"""The units of the bureau, as `unit` entries tell them; their names lie in the "facts" bucket."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import text
from casework.subject import find, refuse_taken, say_of
from core.clock import new_id
from core.db import Base
from vault.log.outbox import AppliedEntry, Submitter

NAME_LIMIT = 32


UNIT_NUMBER_LIMIT = 12


class Unit(Base):
    """A unit of the bureau; `number` has up to 12 characters."""

    __tablename__ = "unit"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]  # the entry that says so


def register_unit(session: Session, submitter: Submitter, actor: str | None, number: str, name: str) -> str:
    """Enter a unit in the register; returns its id. Raises FieldError, TakenError."""
    body = {"number": text(number, "number", UNIT_NUMBER_LIMIT), "name": text(name, "name", NAME_LIMIT)}
    refuse_taken(session, Unit, body["number"], None)
    return say_of(session, submitter, "unit", "registered", new_id(), actor, body)


def change_unit(
    session: Session, submitter: Submitter, actor: str | None, unit_id: str, number: str, name: str
) -> str:
    """Correct a unit's number or name; returns its id."""
    find(session, Unit, unit_id)
    body = {"number": text(number, "number", UNIT_NUMBER_LIMIT), "name": text(name, "name", NAME_LIMIT)}
    refuse_taken(session, Unit, body["number"], unit_id)
    return say_of(session, submitter, "unit", "changed", unit_id, actor, body)


def units(session: Session) -> list[Unit]:
    """Every unit, by number."""
    return list(session.scalars(select(Unit).order_by(Unit.number)))


def apply_unit(session: Session, applied: AppliedEntry) -> None:
    """Write what a `unit` entry says."""
    if applied.fields is not None:
        session.merge(
            Unit(
                id=applied.leaf.facts["unit"],
                number=applied.fields["number"],
                name=applied.fields["name"],
                version=applied.leaf.id,
            )
        )
