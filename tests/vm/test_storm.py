"""Recorders pushed in and pulled out faster than anybody can, and a hub that goes with all that hangs on it."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

from vm.card import FileSystem, MakeCard, dcim, enforcement, film
from vm.station import HUB, Station

SPEED, CRAWL = 600_000, 30_000  # bytes a second
LARGE = 3_000_000
STORM = 8  # times in and out
LONGEST_STAY_S = 4.0  # from nothing seen yet, over being mounted, to being copied
HUB_BAYS, LONELY_BAY = (1, 2), 3


def test_a_hub_pulled_while_two_recorders_are_copied_and_a_storm_lose_nothing_and_double_nothing(
    make: MakeCard, station: Station
) -> None:
    first = enforcement("X1A0021", "060123", [film(), film(LARGE)])
    second = dcim([film(), film(LARGE)])
    third = enforcement("X1A0023", "060125", [film() for _ in range(6)])
    behind = {
        "5.1": make("hub-a", FileSystem.EXFAT, first), "5.2": make("hub-b", FileSystem.FAT32, second)
    }  # fmt: skip
    lonely = make("storm", FileSystem.EXFAT, third)
    usb = station.machine.usb
    _plug(station, behind, SPEED)
    _hold_when_copying(station, dict(zip(HUB_BAYS, behind, strict=True)))
    usb.pull("hub")
    for bay in HUB_BAYS:
        station.until_state(bay, "interrupted")
    usb.hub("hub", HUB)
    _plug(station, behind, 0)
    stays = random.Random(station.machine.pid)  # noqa: S311  another storm each time
    for _ in range(STORM):
        _plug(station, {"7": lonely}, SPEED)
        time.sleep(stays.uniform(0, LONGEST_STAY_S))
        usb.pull(_name("7"))
    _plug(station, {"7": lonely}, 0)
    for bay in (*HUB_BAYS, LONELY_BAY):
        station.until_state(bay, "sealed", within_s=180)
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter([*first.values(), *second.values(), *third.values()])


def _hold_when_copying(station: Station, ports: dict[int, str]) -> None:
    """Each medium barely moves once an eighth of its large film is copied, so that none is done before the hub goes."""

    def are_held() -> bool:
        tiles = station.tiles()
        for bay in [bay for bay in ports if tiles[bay]["bytes_done"] > LARGE // 8]:
            station.machine.usb.throttle(_name(ports.pop(bay)), CRAWL)
        return not ports

    station.until(are_held)


def _plug(station: Station, cards: dict[str, Path], speed: int) -> None:
    for port, card in cards.items():
        name = _name(port)
        station.machine.usb.storage(name, port, card, serial=name, read_only=True, bytes_per_second=speed)


def _name(port: str) -> str:
    return f"at-{port.replace('.', '-')}"
