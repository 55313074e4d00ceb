"""Pulled out while it is read, and faults of the medium: what is said, what is kept, nothing twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vm.card import FileSystem, MakeCard, enforcement, film, sectors_of
from vm.station import Station

SLOW = 1_000_000  # bytes a second: the large film takes four seconds
LARGE = 4_000_000


def is_copying(tile: dict[str, Any]) -> bool:
    """Also when its officer is known already."""
    return tile["state"] in {"copying", "handed_in"}


def test_pulled_in_the_middle_of_a_file_and_put_back_loses_nothing(make: MakeCard, station: Station) -> None:
    tree = enforcement("X1A0002", "060124", [film(), film(LARGE)])
    card, usb = make("pulled", FileSystem.FAT32, tree), station.machine.usb
    usb.storage("slow", "5.1", card, serial="PULLED", read_only=True, bytes_per_second=SLOW)
    station.until(lambda: is_copying(station.tiles()[1]) and station.tiles()[1]["bytes_done"] > LARGE // 8)
    usb.pull("slow")
    station.until_state(1, "interrupted")
    usb.storage("again", "5.2", card, serial="PULLED", read_only=True)
    station.until_state(2, "sealed")
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter(tree.values())


def test_of_a_card_with_bad_sectors_the_readable_part_is_taken_and_the_damaged_file_named(
    make: MakeCard, station: Station
) -> None:
    tree = enforcement("X1A0003", "060125", [film(300_000), film(1_000_000), film(300_000)])
    (_, first), (damaged, broken), (_, last) = tree.items()
    card = make("damaged", FileSystem.EXFAT, tree)
    bad = sectors_of(card, broken, 500_224, 8)
    station.machine.usb.storage("bad", "7", card, serial="BAD", read_only=True, bad_sectors=bad)
    station.until_state(3, "partial", within_s=180)
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents[first] == kept.contents[last] == 1
    (part,) = [content for content in kept.recordings if content not in (first, last)]
    assert len(part) >= 400_000  # what can be read before the damage, at least
    assert part[:400_000] == broken[:400_000]
    named = [str(body) for body in kept.bodies if damaged.rpartition("/")[2] in str(body)]
    assert len(named) == 1


def test_a_device_outside_a_mapped_bay_is_never_opened(make: MakeCard, station: Station) -> None:
    card = make("stranger", FileSystem.FAT32, enforcement("X1A0004", "060126", [film()]))
    guest = station.machine.guest
    station.machine.usb.storage("stranger", "9", card, serial="STRANGER", read_only=True)
    station.until_state(0, "unknown")
    read = guest.out("udevadm settle; cat /sys/block/sda/stat").split()
    station.machine.usb.storage(
        "known", "7", make("known", FileSystem.FAT32, {"DCIM/A.MP4": film()}), read_only=True
    )
    station.until_state(3, "sealed")  # the dock has been at work meanwhile
    assert guest.out("cat /sys/block/sda/stat").split() == read
    assert "/dev/sda" not in guest.out("cat /proc/mounts; ls -l /proc/*/fd 2>/dev/null")
