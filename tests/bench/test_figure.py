"""What the gate lets through, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.check import gated, worse
from bench.figure import Figure, Sheet, Spent, parse_size


@pytest.fixture
def sheet() -> Sheet:
    sheet = Sheet("seal")
    sheet.add("seal : cp", 1.9, "x", at_least=1.8, gated=True)
    sheet.add("large : small", 1.05, "x", at_most=1.1, gated=True)
    sheet.add("seal", 520.0, "MB/cpu-s")
    return sheet


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [
        (2.0, {"at_least": 1.8}, "holds"),
        (1.8, {"at_least": 1.8}, "holds"),
        (1.79, {"at_least": 1.8}, "FALLS SHORT"),
        (4.0, {"at_most": 5}, "holds"),
        (5.1, {"at_most": 5}, "FALLS SHORT"),
        (5.1, {}, ""),
    ],
)
def test_a_figure_meets_its_goal_or_says_that_it_does_not(
    value: float, goal: dict[str, float], verdict: str
) -> None:
    assert Figure("a", value, "x", **goal).verdict == verdict  # type: ignore[arg-type]


def test_figures_survive_being_written(sheet: Sheet, tmp_path: Path) -> None:
    sheet.write(tmp_path / "seal.json")
    assert Sheet.read(tmp_path / "seal.json") == sheet


def test_only_ratios_are_kept(sheet: Sheet) -> None:
    assert gated(sheet) == {"seal : cp": 1.9, "large : small": 1.05}


@pytest.mark.parametrize(
    ("kept", "lines"),
    [
        ({"seal : cp": 1.9, "large : small": 1.05}, 0),
        ({"seal : cp": 2.1}, 0),  # 90 % of it is 1.89
        ({"seal : cp": 2.2}, 1),
        ({"large : small": 0.95}, 0),
        ({"large : small": 0.9}, 1),
        ({"seal : restic": 3.0}, 1),
        ({}, 0),
    ],
)
def test_a_ratio_below_nine_tenths_of_the_kept_one_shuts_the_gate(
    sheet: Sheet, kept: dict[str, float], lines: int
) -> None:
    assert len(worse(sheet, kept)) == lines


def test_time_is_counted_while_it_is_spent() -> None:
    with Spent() as spent:
        sum(range(200_000))
    assert spent.cost.cpu_s > 0
    assert spent.cost.wall_s > 0


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("4K", 4096), ("2G", 2**31)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_the_table_says_when_a_goal_is_missed(sheet: Sheet, capsys: pytest.CaptureFixture[str]) -> None:
    assert sheet.show()
    sheet.add("seal : ideal", 0.7, "x", at_least=0.8)
    assert not sheet.show()
    assert "FALLS SHORT" in capsys.readouterr().out
