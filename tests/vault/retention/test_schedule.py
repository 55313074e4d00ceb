from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.retention.schedule import (
    LEAST_DAYS,
    RetentionClass,
    Schedule,
    bucket_class,
    default_schedule,
    holds_recordings,
    in_force,
)

START = datetime(2026, 11, 23, tzinfo=UTC)
NAMES = ("ordinary", "case_evidence", "major_incident", "unheard_of")
periods = st.one_of(st.none(), st.integers(LEAST_DAYS, 3650))
schedules = st.dictionaries(st.sampled_from(NAMES), periods, min_size=1).map(
    lambda lines: Schedule(1, START, tuple(RetentionClass(name, days, "x") for name, days in lines.items()))
)
classes = st.sets(st.sampled_from(NAMES))


def test_a_new_station_keeps_half_a_year_and_evidence_for_ever() -> None:
    schedule = default_schedule(START)
    assert schedule.free_from(START, {"ordinary"}) == START + timedelta(days=183)
    assert schedule.free_from(START, {"ordinary", "case_evidence"}) is None
    assert schedule.free_from(START, {"major_incident"}) is None
    assert all(line.basis for line in schedule.classes)


def test_no_class_at_all_is_kept() -> None:
    assert default_schedule(START).free_from(START, set()) is None


@given(schedules, classes, classes)
def test_the_longest_wins_so_a_class_more_never_frees_earlier(
    schedule: Schedule, some: set[str], more: set[str]
) -> None:
    """D39"""
    alone, together = schedule.days(some), schedule.days(some | more)
    if some:
        assert together is None or (alone is not None and together >= alone)


@given(schedules, classes.filter(bool))
def test_what_a_schedule_does_not_name_is_kept_for_ever(schedule: Schedule, names: set[str]) -> None:
    if not names <= {line.name for line in schedule.classes}:
        assert schedule.days(names) is None
        assert schedule.deciding(names) is None


@given(schedules, schedules, classes)
def test_a_schedule_that_shortens_nothing_frees_nothing_earlier(
    wanted: Schedule, standing: Schedule, names: set[str]
) -> None:
    if not wanted.shortens(standing):
        before, after = standing.free_from(START, names), wanted.free_from(START, names)
        assert after is None or (before is not None and after >= before)


@given(schedules)
def test_facts_read_back_equal(schedule: Schedule) -> None:
    assert Schedule.of(schedule.facts()) == schedule


def test_the_newest_version_that_is_effective_is_in_force() -> None:
    first, second, third = (Schedule(n, START + timedelta(days=d), ()) for n, d in ((1, 0), (2, 10), (3, 5)))
    assert in_force([first, second, third], START - timedelta(days=1)) is None
    assert in_force([first, second, third], START) is first
    assert in_force([first, second, third], START + timedelta(days=6)) is third
    assert in_force([first, second, third], START + timedelta(days=11)) is third


@pytest.mark.parametrize(
    ("bucket", "name"),
    [
        ("A-2026-11", "ordinary"),
        ("K-2026-11", "case_evidence"),
        ("H-2026-11", None),
        ("Z-2026-11", "Z"),
        ("facts", "facts"),
    ],
)
def test_a_buckets_letter_says_its_class_and_an_unknown_one_frees_nothing(
    bucket: str, name: str | None
) -> None:
    assert bucket_class(bucket) == name
    assert holds_recordings(bucket) == (bucket[0] in "AKH")
