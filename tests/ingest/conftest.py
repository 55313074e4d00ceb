"""A station in a temporary directory, and cards to dock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation.card import make_exfat
from emulation.dock import Station


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station whose vaultd runs; the dock is started by the test."""
    made = Station.make(tmp_path / "station")
    made.start_vaultd()
    yield made
    made.stop()


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """What an enforcement recorder in storage mode holds after a short shift, and what computers leave on cards."""
    folder = tmp_path / "footage"
    day = folder / "DCIM/20261123"
    day.mkdir(parents=True)
    for part in range(1, 5):
        (day / f"X1A0001060123_2026112308{part:02d}00_{part:04d}.mp4").write_bytes(os.urandom(200_000 * part))
    (day / "X1A0001060123_20261123081000_0005.jpg").write_bytes(os.urandom(3000))
    (day / "X1A0001060123_20261123081100_0006.wav").write_bytes(b"")
    (folder / "LOG.TXT").write_bytes(b"2026-11-23 08:00:00 POWER ON\r\n")
    (folder / "System Volume Information").mkdir()
    (folder / "System Volume Information/WPSettings.dat").write_bytes(b"junk")
    return folder


@pytest.fixture
def card(tmp_path: Path, footage: Path) -> Path:
    """The same on an exFAT image."""
    return make_exfat(tmp_path / "card.img", footage)
