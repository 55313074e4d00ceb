"""The wizard that maps sockets to bays, with real udev events and a real settings file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.settings import load
from ingest.bays import write_bays
from sealdock.command.bay import bay

HERE = Path(__file__).parent
PLAIN = '# ours\nvault = "v"\nstate = "s"\nkeys = "k"\n'
BASE = "pci-0000:00:04.0-usb-0"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "sealdock.toml"
    path.write_text(PLAIN, encoding="utf-8")
    return path


def walk(settings: Path, answers: str) -> str:
    done = subprocess.run(
        ["umockdev-wrapper", sys.executable, str(HERE / "bay_scene.py"), str(settings), answers],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": str(HERE.parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_plugs_and_a_yes_are_two_bays(settings: Path) -> None:
    said = walk(settings, "||q|y|")
    assert "saw X5 CAMERA S5 [46f4:0001] at " + BASE + ":4.1 (1-4.1): bay 1" in said, said
    assert [(one.number, one.path) for one in load(settings).dock.bays] == [
        (1, f"{BASE}:4.1"),
        (2, f"{BASE}:4.2"),
    ]
    assert settings.read_text(encoding="utf-8").startswith(PLAIN)
    assert "bay  2  " + BASE + ":4.2  X6 CAMERA S6 [46f4:0001]" in said
    assert "no bay  " + BASE + ":9" in said


def test_a_number_can_be_left_out_and_a_no_changes_nothing(settings: Path) -> None:
    said = walk(settings, "s|||q|n|")
    assert "bay 2" in said
    assert "Nothing was changed." in said
    assert settings.read_text(encoding="utf-8") == PLAIN


def test_undo_takes_the_last_change_back(settings: Path) -> None:
    write_bays(settings, [])
    assert "as they were" in CliRunner().invoke(bay, ["undo"], obj=settings).output
    assert settings.read_text(encoding="utf-8") == PLAIN
