from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from time import sleep, time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from core.clock import new_id, parse_stamp, stamp, utc_now

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=offsets)  # noqa: DTZ001


@given(moments)
def test_a_stamp_keeps_the_moment_to_the_microsecond(moment: datetime) -> None:
    assert parse_stamp(stamp(moment)) == moment
    assert parse_stamp(stamp(moment)).tzinfo is UTC


@given(moments, moments)
def test_stamps_sort_as_the_moments_do(one: datetime, other: datetime) -> None:
    assert (stamp(one) < stamp(other)) == (one < other)


@given(moments)
def test_a_stamp_always_has_the_same_length(moment: datetime) -> None:
    assert len(stamp(moment)) == len("2026-11-23T06:05:04.000123Z")


def test_a_stamp_is_utc_wherever_the_time_came_from() -> None:
    beijing = timezone(timedelta(hours=8))
    assert stamp(datetime(2026, 11, 23, 14, 5, 4, 123, beijing)) == "2026-11-23T06:05:04.000123Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        stamp(datetime(2026, 11, 23))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-11-23", "2026-11-23T06:05:04Z", "2026-11-23T06:05:04.000123",
        "2026-11-23 06:05:04.000123Z",
        "2026-11-23T06:05:04.000123+00:00", "2026-11-23T06:05:04.123Z", "2026-1-3T6:5:4.000123Z",
        "2026-11-23T06:05:04.000123Z ", "2026-11-23T24:00:00.000000Z", "2026-02-29T00:00:00.000000Z",
        "\uff12\uff10\uff12\uff16-11-23T06:05:04.000123Z", "2026-11-23t06:05:04.000123z",
        "2026-06-30T23:59:60.000000Z",
    ],
)  # fmt: skip
def test_another_spelling_of_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_stamp(text)


def test_now_is_aware_and_now() -> None:
    assert utc_now().tzinfo is UTC
    assert abs(utc_now().timestamp() - time()) < 5


def test_ids_are_ulids_that_sort_by_the_millisecond_of_their_making() -> None:
    first = new_id()
    sleep(0.002)
    second = new_id()
    assert first < second
    assert abs(ULID.from_str(second).timestamp - time()) < 5


def test_ids_do_not_repeat() -> None:
    assert len({new_id() for _ in range(5000)}) == 5000
