"""What names say is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sequence import (
    JOIN,
    LONGEST,
    SHIFT_PAUSE,
    Counting,
    Named,
    ended_at,
    missing_parts,
    number_gaps,
    parted,
    time_gaps,
)

DAY = datetime(2026, 11, 23, 8)  # noqa: DTZ001  # a recorder's own clock has no zone
WRAP = 100


def film(number: int, minute: float = 0, **facts: object) -> Named:
    return Named(f"f{number:05d}", number, started_at=DAY + timedelta(minutes=minute), **facts)  # type: ignore[arg-type]


def expanded(files: list[Named], counting: Counting) -> set[int]:
    """Every number that the gaps name; a gap over the wrap goes round."""
    missing: set[int] = set()
    for gap in number_gaps(files, counting):
        number = gap.first
        missing.add(number)
        while number != gap.last:
            number = counting.start if number == counting.wrap else number + 1
            missing.add(number)
    return missing


@given(first=st.integers(1, 10**6), there=st.sets(st.integers(0, 300), min_size=2))
def test_exactly_the_numbers_between_that_are_not_there_are_named(first: int, there: set[int]) -> None:
    files = [film(first + place, place) for place in there]
    wanted = {first + place for place in range(min(there), max(there))} - {first + place for place in there}
    assert expanded(files, Counting("recorder")) == wanted


@given(first=st.integers(1, WRAP), there=st.sets(st.integers(0, WRAP // 2 - 1), min_size=2))
def test_a_counter_that_begins_again_loses_nothing_and_invents_nothing(first: int, there: set[int]) -> None:
    def number(place: int) -> int:
        return (first - 1 + place) % WRAP + 1

    files = [film(number(place), place) for place in there]
    wanted = {number(place) for place in range(min(there), max(there)) if place not in there}
    assert expanded(files, Counting("recorder", 1, WRAP)) == wanted


@given(
    first=st.integers(1, WRAP // 2 - 1),
    there=st.sets(st.integers(0, WRAP // 2 - 1), min_size=2),
    reset=st.data(),
)
def test_a_clock_that_was_reset_in_the_middle_is_no_wrap(
    first: int, there: set[int], reset: st.DataObject
) -> None:
    at = reset.draw(st.sampled_from(sorted(there)))
    files = [film(first + place, place - (10**6 if place >= at else 0)) for place in there]
    wanted = {first + place for place in range(min(there), max(there))} - {first + place for place in there}
    assert expanded(files, Counting("recorder", 1, WRAP)) == wanted


@given(days=st.dictionaries(st.integers(0, 5), st.sets(st.integers(1, 40), min_size=1), min_size=1))
def test_each_day_counts_from_its_start(days: dict[int, set[int]]) -> None:
    files = [film(number, day * 1440 + number) for day, numbers in days.items() for number in numbers]
    found = {
        (gap.series, number)
        for gap in number_gaps(files, Counting("day"))
        for number in range(gap.first, gap.last + 1)
    }
    assert found == {
        ((DAY + timedelta(days=day)).strftime("%Y-%m-%d"), number)
        for day, numbers in days.items()
        for number in set(range(1, max(numbers))) - numbers
    }


@given(st.lists(st.tuples(st.integers(-9, 10**9), st.none() | st.integers(0, 10**6)), max_size=30))
def test_whatever_the_names_say_there_is_an_answer_and_no_number_that_is_there_is_missing(
    named: list[tuple[int, int | None]],
) -> None:
    files = [
        Named(f"f{place}", number, started_at=None if minute is None else DAY + timedelta(minutes=minute))
        for place, (number, minute) in enumerate(named)
    ]
    for per in ("day", "recorder", "officer-day", "none"):
        for wrap in (None, 9999):
            gaps = number_gaps(files, Counting(per, 1, wrap))
            assert all(gap.before is not None for gap in gaps)
            if wrap is None and per == "recorder":
                assert not any(gap.first <= number <= gap.last for gap in gaps for number, _ in named)


def test_officers_of_one_day_count_apart_and_names_without_a_number_or_a_day_tell_nothing() -> None:
    files = [film(1, officer="060001"), film(2, officer="060002"), film(3), Named("x"), Named("y", 7)]
    series = {(gap.series, gap.first, gap.last) for gap in number_gaps(files, Counting("officer-day"))}
    assert series == {("060002 2026-11-23", 1, 1), ("- 2026-11-23", 1, 2)}
    assert number_gaps(files, Counting()) == []


@given(st.lists(st.tuples(st.integers(0, 7200), st.integers(0, 600)), min_size=1, max_size=20))
def test_time_gaps_are_exactly_the_silence_between_recordings(spans: list[tuple[int, int]]) -> None:
    files = [
        Named(
            f"f{place:02d}",
            started_at=DAY + timedelta(seconds=start),
            ended_at=DAY + timedelta(seconds=start + length),
        )
        for place, (start, length) in enumerate(spans)
    ]
    loud = {second for start, length in spans for second in range(start, start + length)}
    for gap in time_gaps(files):
        assert gap.from_at is not None
        low, high = (round((one - DAY).total_seconds()) for one in (gap.from_at, gap.until_at))
        assert high - low == gap.seconds > JOIN.total_seconds()
        assert not loud.intersection(range(low, high))
    silent = set(range(min(s for s, _ in spans), max(s for s, _ in spans))) - loud
    told = sum(gap.seconds for gap in time_gaps(files))
    assert len(silent) - JOIN.total_seconds() * len(spans) <= told <= len(silent)


def test_a_night_is_no_gap_and_an_unknown_end_is_said() -> None:
    files = [film(1, 0), film(2, 10), film(3, 10 + SHIFT_PAUSE / timedelta(minutes=1) + 1)]
    (gap,) = time_gaps(files)
    assert (gap.after, gap.before, gap.from_at, gap.seconds) == ("f00001", "f00002", None, 600)


def test_parts_that_follow_on_each_other_are_one_recording() -> None:
    end = {n: DAY + timedelta(minutes=5 * n) for n in range(4)}
    chain = [Named(f"p{n}", n, None, end[n], end[n + 1], media="video") for n in range(3)]
    apart = Named("later", 3, None, end[3] + JOIN * 2, None, media="video")
    other = Named("sound", 1, None, end[1], end[2], media="audio")
    assert parted([other, apart, *reversed(chain)]) == [tuple(chain)]


def test_parts_of_one_beginning_are_one_recording_and_the_missing_ones_are_named() -> None:
    parts = [Named(f"p{part}", None, part, DAY, media="video") for part in (2, 4, 5)]
    assert parted([*parts, Named("alone", None, 1, DAY + timedelta(hours=1), media="video")]) == [
        tuple(parts)
    ]
    assert missing_parts(parts) == [1, 3]


@pytest.mark.parametrize(
    ("modified", "minutes"),
    [
        (datetime(2026, 11, 23, 0, 5, tzinfo=UTC), 5),  # exFAT: UTC
        (datetime(2026, 11, 23, 8, 5, tzinfo=UTC), 5),  # FAT: the bare digits
        (datetime(2026, 11, 23, 7, 59, tzinfo=UTC), None),
        (datetime(2026, 11, 24, 8, 0, tzinfo=UTC), None),
        (None, None),
    ],
)
def test_an_end_is_believed_only_as_the_end_of_a_recording(
    modified: datetime | None, minutes: int | None
) -> None:
    wanted = None if minutes is None else DAY + timedelta(minutes=minutes)
    assert ended_at(DAY, modified, ZoneInfo("Asia/Shanghai")) == wanted
    assert ended_at(None, modified, ZoneInfo("Asia/Shanghai")) is None


def test_where_both_readings_fit_the_end_is_unknown() -> None:
    assert timedelta(hours=1) < LONGEST
    assert ended_at(DAY, datetime(2026, 11, 23, 8, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin")) is None
