from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from core.bell import Bell, ring


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()


def waited(bell: Bell, timeout_s: float) -> float:
    before = monotonic()
    bell.wait(timeout_s)
    return monotonic() - before


def test_a_ring_wakes_the_sleeper(bell: Bell, tmp_path: Path) -> None:
    threading.Timer(0.05, ring, [tmp_path / "bell"]).start()
    assert waited(bell, 30) < 5


def test_a_ring_before_the_sleep_is_not_missed(bell: Bell, tmp_path: Path) -> None:
    ring(tmp_path / "bell")
    assert waited(bell, 30) < 5


def test_rings_that_came_together_count_once(bell: Bell, tmp_path: Path) -> None:
    for _ in range(5):
        ring(tmp_path / "bell")
    assert waited(bell, 30) < 5
    assert waited(bell, 0.05) >= 0.04


def test_without_a_ring_the_sleep_ends_by_itself(bell: Bell) -> None:
    assert 0.04 <= waited(bell, 0.05) < 5


def test_ringing_where_nobody_listens_is_no_error(tmp_path: Path) -> None:
    ring(tmp_path / "nobody")
    Bell(tmp_path / "gone").close()
    ring(tmp_path / "gone")


def test_a_listener_that_never_looks_does_not_stop_the_one_who_rings(bell: Bell, tmp_path: Path) -> None:
    for _ in range(5000):
        ring(tmp_path / "bell")
    assert waited(bell, 30) < 5
    assert waited(bell, 0.02) >= 0.01


def test_a_bell_takes_the_place_of_one_left_by_a_dead_process(bell: Bell, tmp_path: Path) -> None:
    again = Bell(tmp_path / "bell")
    ring(tmp_path / "bell")
    assert waited(again, 30) < 5
    again.close()


def test_only_owner_and_group_may_ring(bell: Bell, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "bell").stat().st_mode) == 0o660
