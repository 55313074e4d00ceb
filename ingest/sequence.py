"""What the names on a medium say is missing: running numbers, time without footage, and recordings cut into parts.

Invariants: everything here is arithmetic on names and file times, so it accuses nobody: a missing number may be a
recording that was deleted, or one that was never made. A number that is on the medium is never called missing, and
one that is missing between two that are there is always named, also across the wrap of a counter. Where the names
allow two readings of a wrap, the one with fewer missing numbers is taken, and the statement says how they count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

JOIN = timedelta(
    seconds=3
)  # FAT keeps times in steps of 2 s and recorders round: parts this close follow on each other
LONGEST = timedelta(hours=6)  # of one file; recorders cut after minutes, a battery lasts for hours
SHIFT_PAUSE = timedelta(hours=12)  # longer without footage is the time between two shifts, not a gap in one
LIMIT = 10_000  # gaps listed; a counter that jumps at random has no more to tell


@dataclass(frozen=True)
class Counting:
    """How the running number in a name counts (the profile's `sequence`). `wrap`: the last number before `start`."""

    per: str = "none"  # day | recorder | officer-day | none
    start: int = 1
    wrap: int | None = None

    @classmethod
    def of(cls, told: object) -> Counting:
        """From a profile's table, or from None: numbers that tell nothing."""
        if told is None:
            return cls()
        wrap = getattr(told, "wrap", None)
        return cls(
            str(getattr(told, "per", "none")),
            int(getattr(told, "start", 1)),
            None if wrap is None else int(wrap),
        )


@dataclass(frozen=True)
class Named:
    """One file by what its name and its file time say. `ref` is what the statement calls it."""

    ref: str
    number: int | None = None
    part: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    officer: str | None = None
    media: str = ""


@dataclass(frozen=True)
class NumberGap:
    """Numbers `first` to `last` of one series are not on the medium; `after` and `before` are the neighbours' refs."""

    series: str
    first: int
    last: int
    after: str | None
    before: str | None


@dataclass(frozen=True)
class TimeGap:
    """No footage between two recordings of one shift, by the recorder's own clock.

    `from_at` is None when the end of the one before is unknown: then the time is between the two beginnings.
    """

    after: str
    before: str
    from_at: datetime | None
    until_at: datetime
    seconds: int


def number_gaps(files: Iterable[Named], counting: Counting) -> list[NumberGap]:
    """The missing numbers of every series, in order."""
    if counting.per == "none":
        return []
    series: dict[str, list[Named]] = defaultdict(list)
    for file in files:
        if file.number is not None and (key := _series(file, counting.per)) is not None:
            series[key].append(file)
    found = [gap for key in sorted(series) for gap in _gaps_of(key, series[key], counting)]
    return found[:LIMIT]


def time_gaps(files: Iterable[Named]) -> list[TimeGap]:
    """The times without footage within a shift, in order; parts that follow on each other leave none."""
    timed = sorted((f for f in files if f.started_at is not None), key=lambda f: (f.started_at, f.ref))
    found, last = list[TimeGap](), None
    for file in timed:
        if last is not None and (gap := _between(last, file)) is not None:
            found.append(gap)
        if last is None or _reach(file) >= _reach(last):
            last = file
    return found[:LIMIT]


def parted(files: Iterable[Named]) -> list[tuple[Named, ...]]:
    """Recordings that lie on the medium in more than one file, each as its parts in order.

    Parts are files of one kind and officer that either share a beginning and have different part numbers, or follow
    on each other: the next number, and a beginning where the one before ended.
    """
    groups: dict[tuple[str, str | None], list[Named]] = defaultdict(list)
    for file in files:
        if file.started_at is not None:
            groups[file.media, file.officer].append(file)
    found: list[tuple[Named, ...]] = []
    for key in sorted(groups, key=str):
        ordered = sorted(groups[key], key=lambda f: (f.started_at, _place(f), f.ref))
        found += [chain for chain in _chains(ordered) if len(chain) > 1]
    return found


def missing_parts(parts: Sequence[Named]) -> list[int]:
    """Part numbers between the first and the last that no file has; a recording that begins at part 2 lacks 1."""
    numbers = {part.part for part in parts if part.part is not None}
    if not numbers or not _shares_start(parts):
        return []
    return sorted(set(range(min(1, *numbers), max(numbers))) - numbers)[:LIMIT]


def ended_at(started_at: datetime | None, modified_at: datetime | None, zone: ZoneInfo) -> datetime | None:
    """When a recording ended by the recorder's clock, as its file's time tells it; None when that fits no recording.

    FAT keeps local time without a zone and the kernel reads it as UTC; exFAT and ext4 keep UTC. The station's zone is
    tried first, then the bare digits: of two readings hours apart at most one is a recording's length from its start.
    """
    if started_at is None or modified_at is None:
        return None
    start = started_at.replace(tzinfo=None)
    readings = (modified_at.astimezone(zone), modified_at.astimezone(UTC))
    fitting = [
        end for one in readings if timedelta(0) <= (end := one.replace(tzinfo=None)) - start <= LONGEST
    ]
    return fitting[0] if fitting and (len(set(fitting)) == 1) else None


def _series(file: Named, per: str) -> str | None:
    if per == "recorder":
        return ""
    if file.started_at is None:
        return None
    day = file.started_at.strftime("%Y-%m-%d")
    return f"{file.officer or '-'} {day}" if per == "officer-day" else day


def _gaps_of(key: str, files: list[Named], counting: Counting) -> list[NumberGap]:
    straight = {file.number: file for file in sorted(files, key=lambda f: f.ref) if file.number is not None}
    places = _unwrapped(files, straight, counting)
    gaps = [
        NumberGap(
            key, _folded(low + 1, counting), _folded(high - 1, counting), places[low].ref, places[high].ref
        )
        for low, high in pairwise(sorted(places))
        if high - low > 1
    ]
    first = min(places)
    if (
        counting.per != "recorder" and first > counting.start
    ):  # a day begins anew: what is missing at its start shows
        gaps.insert(0, NumberGap(key, counting.start, first - 1, None, places[first].ref))
    return gaps


def _unwrapped(files: list[Named], straight: dict[int, Named], counting: Counting) -> dict[int, Named]:
    """Numbers on a line: those after a wrap stand behind those before it, when the times say so and less is missing."""
    timed = [file for file in files if file.started_at is not None]
    if counting.wrap is None or not timed or max(straight) > counting.wrap:
        return straight
    earliest = min(timed, key=lambda f: (f.started_at, f.number)).number
    if earliest is None:
        return straight
    around = counting.wrap - counting.start + 1
    turned = {number + around if number < earliest else number: file for number, file in straight.items()}
    return min((straight, turned), key=lambda line: max(line) - min(line))


def _folded(place: int, counting: Counting) -> int:
    if counting.wrap is None or place <= counting.wrap:
        return place
    return place - (counting.wrap - counting.start + 1)


def _reach(file: Named) -> datetime:
    reach = file.ended_at or file.started_at
    if reach is None:
        raise ValueError("a file without a beginning has no place in time")
    return reach


def _between(one: Named, two: Named) -> TimeGap | None:
    start = two.started_at
    if start is None:
        return None
    silence = start - _reach(one)
    if not JOIN < silence <= SHIFT_PAUSE:
        return None
    return TimeGap(one.ref, two.ref, one.ended_at, start, round(silence.total_seconds()))


def _chains(ordered: list[Named]) -> list[tuple[Named, ...]]:
    chains: list[list[Named]] = []
    for file in ordered:
        if chains and _follows(chains[-1][-1], file):
            chains[-1].append(file)
        else:
            chains.append([file])
    return [tuple(chain) for chain in chains]


def _follows(one: Named, two: Named) -> bool:
    if one.started_at == two.started_at:
        return one.part is not None and two.part is not None and one.part < two.part
    if one.ended_at is None or two.started_at is None or abs(two.started_at - one.ended_at) > JOIN:
        return False
    place, following = _place(one), _place(two)
    return place >= 0 and following == place + 1


def _shares_start(parts: Sequence[Named]) -> bool:
    return len({part.started_at for part in parts}) == 1


def _place(file: Named) -> int:
    if file.part is not None:
        return file.part
    return -1 if file.number is None else file.number
