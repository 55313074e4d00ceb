from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from devices.light import LampError
from sealdock.cli import sealdock
from sealdock.command.lamps import NoLampsError

LEAST = 'vault = "v"\nstate = "s"\nkeys = "k"\n[[dock.bays]]\nnumber = 3\npath = "pci-0000:00:04.0-usb-0:3"\n'


def tried(tmp_path: Path, lights: str) -> BaseException | None:
    settings = tmp_path / "sealdock.toml"
    settings.write_text(LEAST + lights, encoding="utf-8")
    arguments = ["--settings", str(settings), "bay", "lamps", "--seconds", "0"]
    return CliRunner().invoke(sealdock, arguments).exception


def test_a_dock_without_lamps_says_so(tmp_path: Path) -> None:
    assert isinstance(tried(tmp_path, ""), NoLampsError)


def test_a_lamp_that_cannot_be_had_is_named_with_its_line_and_the_reason(tmp_path: Path) -> None:
    error = tried(
        tmp_path, f'[dock.lights]\ndriver = "gpio"\nchip = "{tmp_path}/chip"\nlines = {{ 3 = 7 }}\n'
    )
    assert isinstance(error, LampError)
    assert "bay 3 (line 7 of" in str(error)
    assert "No such file" in str(error)


@pytest.mark.parametrize(
    ("lights", "part"),
    [
        ('driver = "gpio"', "needs [dock.lights.lines]"),
        ('driver = "gpio"\nlines = { 3 = 1, 4 = 1 }', "a line of its own"),
        ('driver = "gpio"\nlines = { 3 = -1 }', "a line of its own"),
        ('driver = "gpio"\nlines = { 9 = 1 }', "bays that are not mapped: [9]"),
        ('driver = "disco"', "lights.driver"),
    ],
)
def test_a_mistake_in_the_lamps_is_named_before_anything_starts(
    tmp_path: Path, lights: str, part: str
) -> None:
    error = tried(tmp_path, f"[dock.lights]\n{lights}\n")
    assert part in str(error)
