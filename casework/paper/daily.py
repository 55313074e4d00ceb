"""The day on one page: what came in, what went wrong, and the log's head, to be printed and signed by hand.

Invariant: every number is counted from entries of the log, so whoever has the log counts the same. A day is
the bureau's own, midnight to midnight by the station's clock. The checkpoint is the newest one at the time of
printing: signed by two people and locked away it pins everything before it, whatever the machine says later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import stamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf
from vault.log.index import EntryRow
from vault.log.ledger import LogReader

COUNTED = ("ingest", "session", "refusal", "denied", "verify", "dispose")


@dataclass(frozen=True)
class DayCounts:
    """What the log says of one day."""

    sessions: int  # that ended
    recordings: int
    size_bytes: int  # of the originals
    refusals: int  # submissions that the log would not take
    denied: int  # attempts of people that were refused
    partial: int  # sessions that left something on the recorder
    damaged: int  # scrubs that found a recording changed or gone
    disposed: int  # recordings


@dataclass(frozen=True)
class Day:
    """A day of the station and the head of the log that covers it."""

    day: date
    zone: str
    counts: DayCounts
    checkpoint: Checkpoint
    note: bytes  # the checkpoint as it was signed
    printed_at: datetime


def day_of(session: Session, log: LogReader, day: date, zone: str, now: datetime) -> Day:
    """The page of `day` in `zone`, under the newest checkpoint. Raises VaultError."""
    checkpoint, note = log.checkpoint()
    since, until = bounds(day, zone)
    wanted = (
        select(EntryRow.index)
        .where(EntryRow.type.in_(COUNTED), EntryRow.time >= stamp(since), EntryRow.time < stamp(until))
        .where(EntryRow.index < checkpoint.size)
    )
    counted = Counter[str]()
    for index in session.scalars(wanted):
        counted.update(_tally(log.leaf(index)))
    names = ("sessions", "recordings", "size_bytes", "refusals", "denied", "partial", "damaged", "disposed")
    counts = DayCounts(**{name: counted[name] for name in names})
    return Day(day, zone, counts, checkpoint, note, now)


def bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """The first moment of a day and of the next one."""
    here = ZoneInfo(zone)
    return (datetime.combine(day, time(), here), datetime.combine(day + timedelta(days=1), time(), here))


def _tally(leaf: Leaf) -> dict[str, int]:
    """What one entry adds to the day."""
    facts = leaf.facts
    if leaf.type == "ingest":
        return {"recordings": 1, "size_bytes": leaf.object.size if leaf.object else 0}
    if leaf.type == "session":
        return {"sessions": 1, "partial": int(facts.get("outcome") == "partial")}
    if leaf.type == "verify":
        return {"damaged": len(leaf.about) if facts.get("result") == "failed" else 0}
    if leaf.type == "denied":
        return {"denied": int(facts.get("count", 1))}
    return {"refusals": 1} if leaf.type == "refusal" else {"disposed": len(leaf.about)}
