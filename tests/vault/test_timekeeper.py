from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.clock import new_id
from vault.formats.entry import Leaf
from vault.timekeeper import Timekeeper

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
A_YEAR = timedelta(days=365)


class Station:
    """A clock that can be set, and time that cannot."""

    def __init__(self) -> None:
        self.wall, self.steady = NOON, 0.0

    def pass_by(self, seconds: float, drift: float = 0.0) -> None:
        self.wall += timedelta(seconds=seconds + drift)
        self.steady += seconds


@pytest.fixture
def station() -> Station:
    return Station()


@pytest.fixture
def keeper(station: Station) -> Timekeeper:
    return Timekeeper(lambda: station.wall, lambda: station.steady)


@pytest.mark.parametrize("jump", [A_YEAR, -A_YEAR, timedelta(minutes=2)])
def test_a_jump_is_told_once_with_both_times(station: Station, keeper: Timekeeper, jump: timedelta) -> None:
    station.pass_by(10)
    station.wall += jump
    found = keeper.look()
    assert found is not None
    assert (found.before, found.after) == (NOON + timedelta(seconds=10), NOON + timedelta(seconds=10) + jump)
    station.pass_by(10)
    assert keeper.look() is None
    leaf = found.statement("vaultd", vault := new_id())
    assert leaf.about == (vault,)
    assert Leaf.parse(leaf.canonical()) == leaf
    assert (leaf.type, leaf.facts["before"]) == ("clock", "2026-11-23T12:00:10.000000Z")


def test_time_that_passes_and_a_clock_that_drifts_are_no_jump(station: Station, keeper: Timekeeper) -> None:
    for seconds in (0.0, 1.0, 86_400.0, 10 * 86_400.0):
        station.pass_by(seconds, drift=1.0)
        assert keeper.look() is None


def test_a_clock_that_stands_before_the_newest_entry_is_told_at_the_start(keeper: Timekeeper) -> None:
    assert keeper.start(NOON - A_YEAR) is None
    assert keeper.start(NOON + timedelta(seconds=30)) is None
    found = keeper.start(NOON + A_YEAR)
    assert found is not None
    assert (found.before, found.after) == (NOON + A_YEAR, NOON)


def test_the_real_clocks_agree_with_each_other() -> None:
    assert Timekeeper().look() is None
