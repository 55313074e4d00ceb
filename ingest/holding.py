"""Who held a recorder when it recorded, and how that is known.

Invariants: whoever showed a badge or PIN at this docking comes before the issue ledger, and the ledger before the names
on the footage; a recording is looked up in the ledger at its own time, because a card may hold several shifts; names
that say another officer are a conflict that is counted and told, never resolved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from core.canonical import Json
from devices.profile import Profile
from devices.recorder import SourceFile
from ingest.error import IngestError
from ingest.statement import HolderBy

Ledger = Callable[[datetime], str | None]  # who held this recorder at an aware moment, by the issue ledger
CONFLICTS_LISTED = 100  # pairs of officers in one statement; a card passes through few hands


class HolderConflictError(IngestError):
    """Said on the tile; the footage is sealed all the same."""

    code = "ingest.holder_conflict"
    sentence = (
        "The names on the footage say officer {named}, and it was held by {holder} as far as is known. Everything is "
        "sealed with both numbers; tell the evidence custodian that the names say {named}."
    )


@dataclass(frozen=True)
class Holder:
    """An officer's number and how it was established; None where nothing says it."""

    number: str | None
    by: HolderBy


def silent_ledger(_moment: datetime) -> str | None:
    """The ledger of a dock that has none, and of what did not come through a bay."""
    return None


def recorded_at(file: SourceFile, profile: Profile, zone: str) -> datetime | None:
    """When a file was recorded by its recorder's own clock, right or wrong; `zone` is the station's."""
    if file.started_at is None:
        return file.modified_at
    named = zone if profile.names.zone == "station" else profile.names.zone
    try:
        return file.started_at.replace(tzinfo=file.started_at.tzinfo or ZoneInfo(named)).astimezone(UTC)
    except OverflowError:  # the year 1 or 9999, written by a clock that was never set
        return file.modified_at


@dataclass
class Conflicts:
    """Where the names disagree with the holder: how many files for each pair of officers."""

    _files: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def note(self, named: str | None, holder: Holder) -> None:
        """Compare the names of one file with its holder; either may be silent."""
        if named and holder.number and named != holder.number:
            self._files[named, holder.number, holder.by.value] += 1

    def facts(self) -> list[Json]:
        """As the statement has them, the most frequent first."""
        return [
            {"named": named, "holder": number, "by": by, "files": count}
            for (named, number, by), count in self._files.most_common(CONFLICTS_LISTED)
        ]

    def error(self) -> HolderConflictError | None:
        """What the tile says; None while nothing disagrees."""
        if not self._files:
            return None
        ((named, number, _), _count) = self._files.most_common(1)[0]
        return HolderConflictError(named=named, holder=number)
