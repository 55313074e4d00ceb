from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.condition import OWNER_LENGTHS, Act, ClockReading, Condition, OwnerRecord, OwnerRecordError

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@given(
    fast_s=st.floats(-3e9, 3e9),
    trip_s=st.floats(0, 30),
    read_after=st.floats(0, 1),
)
def test_the_true_offset_lies_within_the_uncertainty(fast_s: float, trip_s: float, read_after: float) -> None:
    station_at = NOW + timedelta(seconds=trip_s * read_after)
    shown = (station_at + timedelta(seconds=fast_s)).replace(microsecond=0)
    clock = ClockReading(shown, NOW, NOW + timedelta(seconds=trip_s))
    assert abs(clock.offset_s - fast_s) <= clock.uncertainty_s + 1e-5


def test_a_time_without_a_zone_is_no_reading() -> None:
    with pytest.raises(ValueError, match="aware"):
        ClockReading(NOW.replace(tzinfo=None), NOW, NOW)


@pytest.mark.parametrize("field", OWNER_LENGTHS)
def test_fields_have_their_lengths_in_characters(field: str) -> None:
    OwnerRecord(**{field: "张" * OWNER_LENGTHS[field]})
    for text in ("张" * (OWNER_LENGTHS[field] + 1), "a\n", "a\x1b", "\u202e", " a"):
        with pytest.raises(OwnerRecordError, match=field):
            OwnerRecord(**{field: text})


def test_an_empty_condition_knows_nothing() -> None:
    assert Condition() == Condition(None, None, None, "", None, None, ())
    with pytest.raises(ValueError, match="act"):
        Act("x" * 201, changed=False)
