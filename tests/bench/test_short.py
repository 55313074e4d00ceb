"""Benches of vault and dock run, in a size that says nothing about speed: what they build has to be whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["log", "--entries", "25k", "--tree", "70k"],
        ["read", "--size", "64M"],
        ["verify", "--entries", "1k", "--size", "8M", "--rounds", "1"],
        ["dock_one", "--rates", "30,60", "--seconds", "1"],
        ["dock_idle", "--seconds", "2", "--updates", "30"],
        ["million", "--small", "50", "--large", "600", "--looks", "8"],
    ],
    ids=lambda command: command[0],
)
def test_a_bench_runs_to_its_end(tmp_path_factory: pytest.TempPathFactory, command: list[str]) -> None:
    place = tmp_path_factory.mktemp("b")  # a station's sockets lie in it: the kernel takes short names only
    told = place / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{command[0]}", *command[1:], "--dir", place, "--json", told],
        cwd=HERE, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr  # 1: a goal was missed, which says nothing at this size
    assert told.exists(), done.stderr
    figures = json.loads(told.read_text())["figures"]
    assert all(figure["value"] == figure["value"] for figure in figures)
    assert len(figures) > 5
