from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.serial.clock import UnknownClockError, moment_of, reading, time_values
from devices.serial.exchange import Reply
from devices.serial.table import ClockForm

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
FORM = ClockForm()
NOW = datetime(2026, 11, 23, 0, 15, 7, tzinfo=UTC)


def reply(text: bytes, *, stepped: bool = False, trip_s: float = 0.2) -> Reply:
    return Reply({"time": text}, NOW, NOW + timedelta(seconds=trip_s), stepped)


def test_offset_and_uncertainty_are_of_the_round_trips_middle() -> None:
    clock = reading(reply(b"20261123081607"), FORM, SHANGHAI)
    assert clock.offset_s == pytest.approx(59.9)
    assert clock.uncertainty_s == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("text", "years"),
    [(b"19700101080000", -56), (b"20380119111408", 11), (b"21060207142816", 79), (b"99991231000000", 7973)],
)
def test_any_year_is_a_reading_with_its_offset(text: bytes, years: int) -> None:
    clock = reading(reply(text), FORM, SHANGHAI)
    assert clock.offset_s / 86400 / 365.2425 == pytest.approx(years, abs=1)


@pytest.mark.parametrize(
    "text",
    [b"", b"00000000000000", b"20261323081507", b"20260230081507", b"2026112308150", b"202611230815077",
     b"20261123081560", b"\xff" * 14, "２０２６１１２３０８１５０７".encode(), b"+0261123081507", b" 0261123081507"],
)  # fmt: skip
def test_what_no_calendar_has_is_unknown(text: bytes) -> None:
    with pytest.raises(UnknownClockError, match="no calendar"):
        reading(reply(text), FORM, SHANGHAI)


def test_the_hour_that_daylight_saving_makes_double_or_leaves_out_is_unknown() -> None:
    for text in (b"20261025023000", b"20260329023000"):
        with pytest.raises(UnknownClockError, match="daylight saving"):
            moment_of({"time": text}, FORM, BERLIN)
    assert moment_of({"time": b"20261025033000"}, FORM, BERLIN) == datetime(2026, 10, 25, 2, 30, tzinfo=UTC)
    assert moment_of({"time": b"20261025023000"}, FORM.model_copy(update={"zone": "Asia/Shanghai"}), BERLIN)


def test_a_reading_while_the_stations_clock_was_set_is_unknown() -> None:
    with pytest.raises(UnknownClockError, match="station's own clock was set"):
        reading(reply(b"20261123081607", stepped=True), FORM, SHANGHAI)


@given(st.binary(max_size=20), st.booleans())
def test_hostile_times_are_readings_or_unknown(raw: bytes, is_unix: bool) -> None:  # noqa: FBT001
    try:
        moment = moment_of({"unix_s" if is_unix else "time": raw}, FORM, BERLIN)
    except UnknownClockError:
        return
    assert moment.tzinfo is not None


@given(st.datetimes(datetime(1992, 1, 1), datetime(2106, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_what_is_set_is_what_is_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    values = time_values(moment, FORM, SHANGHAI)
    assert moment_of({"time": values["time"]}, FORM, SHANGHAI) == moment
    assert moment_of({"unix_s": values["unix_s"]}, FORM, SHANGHAI) == moment
    assert values["time_bcd"].hex().encode() == values["time"]
    assert int.from_bytes(values["unix_big"], "big") == int.from_bytes(values["unix_little"], "little")


def test_a_station_in_another_century_sets_nothing() -> None:
    with pytest.raises(UnknownClockError):
        time_values(datetime(2110, 1, 1, tzinfo=UTC), FORM, SHANGHAI)
