from __future__ import annotations

from datetime import datetime, time
from types import SimpleNamespace

import pytest

from webconsole.display.night import DARK_FROM, DARK_UNTIL, Night


@pytest.mark.parametrize(
    ("begins", "ends", "now", "is_night"),
    [
        (time(22), time(6), time(23, 59), True),
        (time(22), time(6), time(0, 0), True),
        (time(22), time(6), time(6, 0), False),
        (time(22), time(6), time(21, 59), False),
        (time(1), time(5), time(2), True),
        (time(1), time(5), time(5), False),
        (time(8), time(8), time(8), False),  # no night at all
    ],
)
def test_a_night_begins_and_ends(begins: time, ends: time, now: time, is_night: bool) -> None:  # noqa: FBT001
    assert Night(begins, ends).holds(datetime.combine(datetime(2026, 11, 23).date(), now)) is is_night  # noqa: DTZ001


def test_the_hours_are_those_of_the_settings_or_the_usual_ones() -> None:
    assert Night.of(SimpleNamespace(night_from=time(20), night_until=time(7))) == Night(time(20), time(7))
    assert Night.of(SimpleNamespace()) == Night(DARK_FROM, DARK_UNTIL)
