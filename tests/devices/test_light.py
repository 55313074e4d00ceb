from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import structlog

from devices.light import BEAT_S, RHYTHMS, LampError, Signal, is_lit
from devices.light_gpio import GpioLamps

SECONDS = 30  # of each rhythm; all repeat within two


def beats(signal: Signal) -> str:
    return "".join("#" if is_lit(signal, beat) else "." for beat in range(int(SECONDS / BEAT_S)))


def test_every_signal_has_a_rhythm_and_no_two_can_be_taken_for_each_other() -> None:
    assert set(RHYTHMS) == set(Signal)
    for one, other in combinations(Signal, 2):
        long = beats(one)
        turned = {long[n : n + 40] for n in range(20)}  # whenever somebody begins to look
        assert beats(other)[:40] not in turned, (one, other)


@pytest.mark.parametrize("signal", Signal)
def test_no_lamp_flashes_more_than_three_times_a_second(signal: Signal) -> None:
    shown, window = beats(signal), round(1 / BEAT_S)
    for start in range(len(shown) - window):
        assert shown[start : start + window + 1].count(".#") <= 3


def test_a_lamp_that_nobody_moves_any_more_never_says_safe() -> None:
    assert len(set(RHYTHMS[Signal.SAFE])) == 2, "a steady or dark lamp would be safe"
    assert RHYTHMS[Signal.WORKING] == "#", "what a lamp that stays lit says is: leave it in"
    assert RHYTHMS[Signal.DARK] == "."


def test_a_chip_that_is_not_there_leaves_lamps_dark_is_said_once_and_the_dock_goes_on(tmp_path: Path) -> None:
    lamps = GpioLamps(tmp_path / "gpiochip7", {1: 0, 2: 5})
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            lamps.show({1: True, 2: False})
        lamps.close()
    assert lamps.missing == {1: "No such file or directory", 2: "No such file or directory"}
    assert [(one["log_level"], one["bay"]) for one in said] == [("error", 1), ("error", 2)]
    assert "It stays dark" in said[0]["why"]


def test_a_file_that_is_no_chip_is_told_like_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "chip").write_bytes(b"no chip")
    lamps = GpioLamps(tmp_path / "chip", {4: 0})
    with structlog.testing.capture_logs() as said:
        lamps.show({4: True})
    assert list(lamps.missing) == [4]
    assert said[0]["bay"] == 4


def test_the_sentence_of_a_lamp_says_what_to_do() -> None:
    said = str(LampError(bay=3, line=7, chip="/dev/gpiochip0", why="Device or resource busy"))
    assert "bay 3 (line 7 of /dev/gpiochip0)" in said
    assert "the board shows" in said
