"""Before anything goes: exactly which recordings, how many hours, and which of them nobody ever looked at or claimed.

Reads the log for what decides (periods, holds, viewings, links) and the tables only for names and durations, which
decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.evidence.recording import Recording
from casework.evidence.viewing import Rendition
from core.clock import stamp
from vault.log.rules import LogView
from vault.retention.chronicle import Chronicle, Standing
from vault.retention.past import Past
from vault.retention.policy import Policy
from vault.retention.schedule import Schedule

_MS_PER_HOUR = 3_600_000


@dataclass(frozen=True)
class DueRecording:
    """A recording that nothing keeps any more; `name` and `officer_number` are for the reader's eyes."""

    id: str
    name: str
    officer_number: str | None
    size: int  # bytes of the original
    duration_ms: int | None
    came_in_at: datetime
    free_from: datetime
    retention_class: str
    basis: str
    was_viewed: bool
    was_attributed: bool

    def as_json(self) -> dict[str, object]:
        """For a program."""
        times = {"came_in_at": stamp(self.came_in_at), "free_from": stamp(self.free_from)}
        return vars(self) | times


@dataclass(frozen=True)
class Preview:
    """What a disposal, or a change of schedule, would release."""

    schedule: Schedule
    recordings: tuple[DueRecording, ...]

    @property
    def apart(self) -> tuple[DueRecording, ...]:
        """Those that nobody ever viewed, or that no officer and no case claims: look at them first."""
        return tuple(each for each in self.recordings if not (each.was_viewed and each.was_attributed))

    @property
    def hours(self) -> float:
        """Of those whose duration is known."""
        return sum(each.duration_ms or 0 for each in self.recordings) / _MS_PER_HOUR

    @property
    def bytes_of_unknown_length(self) -> int:
        """Of those whose duration is not."""
        return sum(each.size for each in self.recordings if each.duration_ms is None)

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return {
            "schedule": self.schedule.entry_id, "version": self.schedule.version,
            "recordings": [each.as_json() for each in self.recordings],
            "apart": [each.id for each in self.apart], "hours": round(self.hours, 3),
            "bytes": sum(each.size for each in self.recordings),
            "bytes_of_unknown_length": self.bytes_of_unknown_length,
        }  # fmt: skip


def due(
    session: Session, past: Past, policy: Policy, schedule: Schedule, moment: datetime,
    durations: Mapping[str, int],
) -> Preview:  # fmt: skip
    """What may be disposed of at `moment` under `schedule`. `durations` are milliseconds by recording, where known."""
    found = _free(past, policy, schedule, moment)
    return Preview(schedule, tuple(_described(session, past, schedule, found, durations)))


def released(
    session: Session, past: Past, policy: Policy, standing: Schedule, wanted: Schedule, moment: datetime,
    durations: Mapping[str, int],
) -> Preview:  # fmt: skip
    """What `wanted` would let go of at `moment` that `standing` keeps."""
    free = [each for each in _free(past, policy, wanted, moment) if not each.is_free(standing, moment)]
    return Preview(wanted, tuple(_described(session, past, wanted, free, durations)))


def _free(past: Past, policy: Policy, schedule: Schedule, moment: datetime) -> list[Standing]:
    chronicle = Chronicle(past, policy)
    standings = (chronicle.standing(leaf.id) for _, leaf in past.recordings())
    return [each for each in standings if each.is_free(schedule, moment)]


def _described(
    session: Session,
    log: LogView,
    schedule: Schedule,
    found: Iterable[Standing],
    durations: Mapping[str, int],
) -> Iterable[DueRecording]:
    for standing in found:
        leaf, line = standing.leaf, schedule.deciding(standing.classes)
        free_from = standing.free_from(schedule)
        if leaf.object is None or line is None or free_from is None:
            continue  # kept for ever: `_free` never gives such a one
        row = session.scalar(select(Recording).where(Recording.id == leaf.id))
        officer = row.officer_number if row else None
        entries = [log.leaf(place) for place in log.about(leaf.id, "view", "export", "link")]
        yield DueRecording(
            id=leaf.id, name=row.name if row else "", officer_number=officer, size=leaf.object.size,
            duration_ms=durations.get(leaf.id), came_in_at=standing.started_at, free_from=free_from,
            retention_class=line.name, basis=line.basis,
            was_viewed=any(_is_viewing(each.type, each.facts) for each in entries),
            was_attributed=officer is not None or any(each.type == "link" for each in entries),
        )  # fmt: skip


def _is_viewing(entry_type: str, facts: Mapping[str, object]) -> bool:
    """A still picture in a list is no viewing."""
    return entry_type == "export" or (entry_type == "view" and facts.get("rendition") != Rendition.POSTER)
