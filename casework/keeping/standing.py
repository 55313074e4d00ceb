"""Retention for the screen: what the log says of a recording's keeping, found through the index instead of a walk.

vaultd, the sealer and the command line read the whole log before anything goes; a page cannot wait for that. Here
the tables say where the entries about a recording are and the entries themselves are read from the log, so a page
is quick and at worst out of date. Nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.evidence.recording import Recording
from casework.keeping.preview import Preview, due
from casework.keeping.projection import HeldRecording
from casework.keeping.retention import evidence_policy
from vault.formats.entry import Leaf
from vault.log.index import EntryAbout, EntryRow, place_of
from vault.log.ledger import LogReader
from vault.retention.chronicle import Chronicle, Standing
from vault.retention.past import Past
from vault.retention.schedule import LEAST_DAYS, Schedule

CANDIDATES = 200  # recordings looked at for one page, the oldest first


@dataclass(frozen=True)
class Kept:
    """One recording; `free_from` is None while a class, or a station without a schedule, keeps it for ever."""

    schedule: Schedule | None
    standing: Standing
    free_from: datetime | None


@dataclass(frozen=True)
class Disposal:
    """A disposal that two people approved, and what has been done about it."""

    entry_id: str
    at: str
    recordings: int
    basis: str
    state: str  # approved, erased or unreadable


class IndexedPast(Past):
    """The log through the index tables of one database session."""

    def __init__(self, reader: LogReader, session: Session, before: datetime | None = None) -> None:
        """With `before`, `recordings` gives the oldest candidates that came in before it and nothing holds.

        Without it nobody asks who looked, and the viewings, of which there may be thousands, are left out.
        """
        self.reader, self._session, self._before = reader, session, before
        self._size = self.head = reader.size

    def leaf(self, index: int) -> Leaf:
        """As LogView."""
        return Leaf.parse(self.reader.raw(index, self._size))

    def find(self, entry_id: str) -> int | None:
        """As LogView."""
        return place_of(self._session, entry_id)

    def about(self, subject_id: str, *types: str) -> list[int]:
        """As LogView."""
        places = select(EntryAbout.index).where(
            EntryAbout.subject_id == subject_id, EntryAbout.index < self._size
        )
        if types or self._before is None:
            wanted = EntryRow.type.in_(types) if types else EntryRow.type != "view"
            places = places.join(EntryRow, EntryRow.index == EntryAbout.index).where(wanted)
        return list(self._session.scalars(places.order_by(EntryAbout.index)))

    def recordings(self) -> Iterator[tuple[int, Leaf]]:
        """The candidates."""
        if self._before is None:
            return
        held = select(HeldRecording.recording_id)
        wanted = (
            select(Recording.id)
            .where(
                Recording.sealed_at < self._before,
                Recording.is_disposed.is_(False),
                Recording.id.not_in(held),
            )
            .where(Recording.is_linked.is_(False))
            .order_by(Recording.sealed_at, Recording.id)
            .limit(CANDIDATES)
        )
        for recording_id in self._session.scalars(wanted).all():
            index = self.find(recording_id)
            if index is not None:
                yield index, self.leaf(index)


def kept(session: Session, reader: LogReader, recording_id: str, moment: datetime) -> Kept:
    """How one recording is kept. Raises RefusedError for what is no recording on the log."""
    chronicle = Chronicle(IndexedPast(reader, session), evidence_policy())
    standing, schedule = chronicle.standing(recording_id), chronicle.schedule_at(moment)
    return Kept(schedule, standing, standing.free_from(schedule) if schedule else None)


def schedule_in_force(session: Session, reader: LogReader, moment: datetime) -> Schedule | None:
    """What holds now, None on a station that has none yet: there everything is kept."""
    return Chronicle(IndexedPast(reader, session), evidence_policy()).schedule_at(moment)


def due_now(
    session: Session, reader: LogReader, schedule: Schedule, moment: datetime, durations: Mapping[str, int]
) -> Preview:
    """What may be disposed of, as far as the oldest candidates go."""
    before = moment - timedelta(days=LEAST_DAYS)
    return due(session, IndexedPast(reader, session, before), evidence_policy(), schedule, moment, durations)


def disposals(session: Session, reader: LogReader, limit: int = 50) -> list[Disposal]:
    """The newest disposals, and how far each is."""
    rows = session.execute(
        select(EntryRow.index, EntryRow.type)
        .where(EntryRow.type.in_(("dispose", "destroy")))
        .order_by(EntryRow.index.desc())
        .limit(4 * limit)
    )
    done, found = dict[str, str](), list[Disposal]()
    for index, entry_type in rows:
        leaf = reader.leaf(index)
        if entry_type == "destroy":
            done.setdefault(leaf.facts["dispose"], leaf.facts["state"])
        else:
            state = done.get(leaf.id, "approved")
            found.append(Disposal(leaf.id, leaf.time, len(leaf.about), leaf.facts["basis"], state))
    return found[:limit]
