"""Which bays sessions break off in: a loose socket shows itself long before it is found by hand.

Invariant: a session that broke off is counted against the bay that it was in then, also when it went on in another;
one that broke off because the dock itself was stopped is counted against none. Read from the histories of sessions,
which are the dock's own rows: after the loss of the database the count begins anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.states import StateHistory
from ingest.docking import DOCKING, DockingSession, at_bay
from ingest.error import UnpluggedError

BROKEN_OFF = UnpluggedError.code  # by a pull, a loose contact, a hub that went: the dock cannot tell which


@dataclass
class BayRecord:
    """What became of the sessions in one bay; a session that came back to it counts again."""

    number: int
    stays: int = 0
    broken_off: int = 0
    recorders: set[str] = field(default_factory=set)  # whose sessions broke off, by serial
    last_at: datetime | None = None  # when one last broke off


def bay_records(session: Session, since: datetime) -> list[BayRecord]:
    """Every bay that a session was in since then, by number."""
    found: dict[int, BayRecord] = {}
    where: dict[str, BayRecord] = {}
    for moved, serial in _moves(session, since):
        number = _bay_in(moved.reason) if moved.event in {"offload", "resume"} else None
        if number is not None:
            where[moved.subject_id] = found.setdefault(number, BayRecord(number))
            found[number].stays += 1
        elif moved.event == "interrupt" and moved.reason == BROKEN_OFF and moved.subject_id in where:
            bay = where[moved.subject_id]
            bay.broken_off, bay.last_at = bay.broken_off + 1, moved.at
            bay.recorders.add(serial)
    return [found[number] for number in sorted(found)]


def _moves(session: Session, since: datetime) -> Iterator[tuple[StateHistory, str]]:
    """The histories of the sessions that began since then, each in its order."""
    recent = {
        row.id: row.recorder_serial
        for row in session.execute(
            select(DockingSession.id, DockingSession.recorder_serial).where(
                DockingSession.attached_at >= since
            )
        )
    }
    histories = defaultdict[str, list[StateHistory]](list)
    ids = list(recent)
    for start in range(0, len(ids), 500):  # below any database's limit of parameters
        some = StateHistory.subject_id.in_(ids[start : start + 500])
        rows = select(StateHistory).where(StateHistory.machine == DOCKING.name, some)
        for row in session.scalars(rows.order_by(StateHistory.id)):
            histories[row.subject_id].append(row)
    for identity, moves in histories.items():
        yield from ((moved, recent[identity]) for moved in moves)


def _bay_in(reason: str) -> int | None:
    """The reverse of `at_bay`."""
    number = reason.removeprefix("bay ")
    is_bay = number.isascii() and number.isdigit() and at_bay(int(number)) == reason
    return int(number) if is_bay else None
