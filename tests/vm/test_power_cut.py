"""The power of the whole box goes while a recorder is copied: SEALDOCK_LAB_CUTS says how often (twenty: the long form).

The guest's memory is lost, with all that was not flushed; what its disk had taken stays. Disks that lose and reorder
their own cache are tried in tests/crash/test_power_cut.py.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from vm.card import FileSystem, MakeCard, enforcement, film
from vm.station import Station

CUTS = int(os.environ.get("SEALDOCK_LAB_CUTS", "1"))
SPEED = 250_000  # bytes a second: slow enough to be watched
CRAWL = 1_000  # from the moment that was waited for: what is being copied then cannot end before the cut
SMALL_FILMS = 5
GUARD = 4_000_000  # bytes of the last film, sixteen seconds: copying is not over before it is seen


@pytest.mark.timeout(600 + 120 * CUTS)
def test_power_cuts_while_copying_lose_nothing_and_double_nothing(
    make: MakeCard, data: Path, tmp_path: Path
) -> None:
    tree = enforcement("X1A0005", "060127", [*(film() for _ in range(SMALL_FILMS)), film(GUARD)])
    card = make("cut", FileSystem.EXFAT, tree)
    before_guard = sum(map(len, tree.values())) - GUARD
    with Station.at_work(tmp_path / "m", data) as station:
        _copy_until_somewhere(station, card, before_guard)
    for cuts_left in reversed(range(CUTS)):
        with Station.after_cut(tmp_path / "m", data) as station:
            assert station.copies_under_way() == 1  # the cut hit a copy, and the disk remembers
            station.start()
            if cuts_left:
                _copy_until_somewhere(station, card, before_guard)
                continue
            station.machine.usb.storage("last", "5.1", card, serial="CUT", read_only=True)
            station.until_state(1, "sealed", within_s=120)
            kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter(tree.values())


def _copy_until_somewhere(station: Station, card: Path, before_guard: int) -> None:
    """Into the copying, so that a recording is half copied on return; the machine does not outlive it."""
    usb, somewhere = station.machine.usb, random.SystemRandom().randrange(1, before_guard)
    usb.storage("cut", "5.1", card, serial="CUT", read_only=True, bytes_per_second=SPEED)
    station.until(lambda: station.tiles()[1]["bytes_done"] >= somewhere)
    usb.throttle("cut", CRAWL)
    station.until(lambda: station.copies_under_way() == 1, within_s=30)
