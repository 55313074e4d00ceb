"""State machines as tables, with their history.

A machine is an enum and a literal `{(state, event): state}`. `advance` moves a row and writes its history in
the caller's transaction, so a state and the reason for it can never part. docs/generated draws the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.errors import SealdockError

S = TypeVar("S", bound=StrEnum)


class IllegalEventError(SealdockError):
    """An event that the machine has no row for."""

    code = "core.illegal_event"
    sentence = "{machine} cannot do '{event}' while it is '{state}'. Nothing was changed."


@dataclass(frozen=True)
class Machine(Generic[S]):
    """A named table of transitions over one enum."""

    name: str
    states: type[S]
    table: dict[tuple[S, str], S]

    def next(self, state: S, event: str) -> S:
        """The state after `event`. Raises IllegalEventError."""
        try:
            return self.table[state, event]
        except KeyError as cause:
            raise IllegalEventError(machine=self.name, state=state.value, event=event) from cause


class StateHistory(Base):
    """One line per change: which machine, whose row, from, to, by which event and why."""

    __tablename__ = "state_history"

    id: Mapped[int] = mapped_column(primary_key=True)
    machine: Mapped[str]
    subject_id: Mapped[str] = mapped_column(index=True)
    before: Mapped[str]
    event: Mapped[str]
    after: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Stateful(Protocol):
    """A row that a machine moves."""

    id: str
    state: str


def advance(session: Session, machine: Machine[S], row: Stateful, event: str, reason: str = "") -> S:
    """Move `row` and write its history in the caller's transaction. Raises IllegalEventError."""
    before = machine.states(row.state)
    after = machine.next(before, event)
    row.state = after.value
    session.add(
        StateHistory(
            machine=machine.name, subject_id=row.id, before=before, event=event, after=after,
            reason=reason, at=utc_now(),
        )
    )  # fmt: skip
    return after
