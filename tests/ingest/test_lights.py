from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import product
from pathlib import Path
from threading import Event

import pytest
import structlog

from core.clock import stamp, utc_now
from core.settings import LightSettings
from devices.light import RHYTHMS, Signal
from devices.light_gpio import GpioLamps
from ingest.lights import Lights, lamps_of, shining, signal_of, signals_of
from ingest.status import STALE_S, BayStatus, DockStatus, Need, TileState, write_status
from webconsole.display.tile import TONES

LONG_S = 30.0
TONE_OF = {
    Signal.DARK: "quiet", Signal.WORKING: "working", Signal.SAFE: "safe", Signal.PERSON: "person",
    Signal.FAULT: "fault",
}  # fmt: skip


class Panel:
    """A driver that keeps what it was told to show."""

    def __init__(self) -> None:
        self.shown: list[dict[int, bool]] = []
        self.closed = False

    def show(self, lit: Mapping[int, bool]) -> None:
        self.shown.append(dict(lit))

    def close(self) -> None:
        self.closed = True


class Broken(Panel):
    """A driver with a mistake in it."""

    def show(self, lit: Mapping[int, bool]) -> None:
        super().show(lit)
        raise RuntimeError("a driver broke")


def board(*tiles: BayStatus, age_s: float = 0) -> DockStatus:
    return DockStatus(at=stamp(utc_now() - timedelta(seconds=age_s)), station="s", bays=tiles)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("state", TileState)
def test_lamp_and_tile_say_the_same_of_every_state(state: TileState) -> None:
    assert TONE_OF[signal_of(BayStatus(number=1, state=state))] == TONES[state][0]


@pytest.mark.parametrize(("state", "need"), list(product(TileState, [None, *Need])))
def test_safe_is_said_of_a_sealed_recorder_alone_and_only_when_nobody_is_asked(
    state: TileState, need: Need | None
) -> None:
    says = signal_of(BayStatus(number=1, state=state, needs=need))
    assert (says is Signal.SAFE) == (state is TileState.SEALED and need in {None, Need.WAIT})


def test_a_need_that_only_a_newer_dock_knows_is_not_safe() -> None:
    assert signal_of(BayStatus(number=1, state=TileState.SEALED, needs="sing")) is Signal.PERSON


@pytest.mark.parametrize("age_s", [STALE_S + 0.5, 3600, -3600])
def test_a_stale_board_makes_every_lamp_dark(age_s: float) -> None:
    tiles = [BayStatus(number=n, state=state) for n, state in enumerate(TileState, 1)]
    assert signals_of(board(*tiles, age_s=age_s)) == {}


def test_what_is_outside_the_bays_has_no_lamp() -> None:
    assert signals_of(board(BayStatus(number=0, state=TileState.UNKNOWN))) == {}


def test_the_lamps_follow_the_boards_file_and_fall_dark_when_it_stops(tmp_path: Path) -> None:
    panel, path = Panel(), tmp_path / "dock.json"
    lights = Lights(path, panel)
    lights.play(0)
    assert panel.shown[-1] == {}, "no dock has ever spoken"
    write_status(path, board(BayStatus(number=3, state=TileState.SEALED)))
    rhythm = RHYTHMS[Signal.SAFE]
    for beat in range(len(rhythm)):
        lights.play(beat)
    assert [one[3] for one in panel.shown[1:]] == [letter == "#" for letter in rhythm]
    write_status(path, board(BayStatus(number=3, state=TileState.COPYING)))
    lights.play(rhythm.index("."))
    assert panel.shown[-1] == {3: True}, "steady: leave it in"
    write_status(path, board(BayStatus(number=3, state=TileState.SEALED), age_s=60))
    lights.play(0)
    assert panel.shown[-1] == {}
    path.write_bytes(b"\xff torn")
    lights.play(0)
    path.unlink()
    lights.play(0)
    assert panel.shown[-2:] == [{}, {}]


def test_a_board_that_grows_stale_without_a_new_file_falls_dark(tmp_path: Path) -> None:
    panel, path = Panel(), tmp_path / "dock.json"
    lights = Lights(path, panel)
    write_status(path, board(BayStatus(number=1, state=TileState.COPYING)))
    lights.play(0)
    assert panel.shown[-1] == {1: True}
    deadline = time.monotonic() + LONG_S
    while panel.shown[-1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        lights.play(0)


def test_lamps_play_while_the_dock_works_and_are_let_go_after(tmp_path: Path) -> None:
    panel, path = Panel(), tmp_path / "dock.json"
    write_status(path, board(BayStatus(number=1, state=TileState.FAULT)))
    with shining(path, panel):
        until(lambda: {1: True} in panel.shown and {1: False} in panel.shown)
        assert not panel.closed
    assert panel.closed


def test_a_driver_that_breaks_is_told_and_closed_and_the_dock_goes_on(tmp_path: Path) -> None:
    panel = Broken()
    with structlog.testing.capture_logs() as said, shining(tmp_path / "dock.json", panel):
        until(lambda: panel.closed)
    assert [one["log_level"] for one in said] == ["error"]


def test_without_lamps_the_board_is_the_light(tmp_path: Path) -> None:
    assert lamps_of(LightSettings()) is None
    with shining(tmp_path / "dock.json", None):
        pass
    named = LightSettings(driver="gpio", chip=tmp_path / "none", lines={1: 0})
    assert isinstance(lamps_of(named), GpioLamps)


def test_the_file_is_read_again_only_when_it_was_replaced(tmp_path: Path) -> None:
    panel, path, stop = Panel(), tmp_path / "dock.json", Event()
    stop.set()
    Lights(path, panel).run(stop)
    assert panel.closed
    write_status(path, board(BayStatus(number=1, state=TileState.COPYING)))
    lights = Lights(path, panel)
    lights.play(0)
    kept, stat = path.read_bytes(), path.stat()
    path.write_bytes(b" " * len(kept))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    lights.play(0)
    assert panel.shown[-1] == {1: True}
