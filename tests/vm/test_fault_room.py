"""A vault that is full, and a slow stick that is torn out and plugged into another bay before the first has noticed."""

from __future__ import annotations

from vm.aftermath import ended, proven, said
from vm.card import FileSystem, MakeCard, enforcement, film
from vm.station import Station

from core.settings import FixitySettings

BALLAST = "/data/vault/ballast"  # on the vault's disk
LEFT_BYTES = 3_000_000  # free in the vault beside the reserve
LARGE = 5_000_000
SLOW = 300_000  # bytes a second
CRAWL = 20_000


def test_a_full_vault_takes_what_fits_and_the_rest_once_there_is_room(
    make: MakeCard, station: Station
) -> None:
    tree = enforcement("X1A0030", "060150", [film(), film(LARGE), film(800_000)])
    small = [content for content in tree.values() if len(content) < LARGE]
    card, usb, run = make("full", FileSystem.EXFAT, tree), station.machine.usb, station.machine.guest.run
    blocks, size = map(int, run("stat --file-system --format '%a %S' /data/vault").out.split())
    reserve = FixitySettings().reserve_mib << 20
    run(f"fallocate --length {blocks * size - reserve - LEFT_BYTES} {BALLAST}")
    usb.storage("full", "5.1", card, serial="FULL", read_only=True)
    assert said(ended(station, 1)) == ("partial", "ingest.vault_full", "administrator")
    usb.pull("full")
    run(f"rm {BALLAST}")
    proven(station, small)
    usb.storage("again", "5.2", card, serial="FULL", read_only=True)
    assert said(ended(station, 2)) == ("sealed", None, None)
    proven(station, tree.values())


def test_a_slow_stick_that_changes_its_bay_before_the_first_has_noticed(
    make: MakeCard, station: Station
) -> None:
    tree = enforcement("X1A0031", "060151", [film(), film(3_000_000)])
    card, usb = make("slow", FileSystem.FAT32, tree), station.machine.usb
    usb.storage("slow", "5.1", card, serial="SLOW", read_only=True, bytes_per_second=SLOW)
    station.until(lambda: station.tiles()[1]["bytes_done"] > 500_000)
    usb.throttle("slow", CRAWL)  # a read hangs while it is pulled
    usb.pull("slow")
    usb.storage("other", "7", card, serial="SLOW", read_only=True, bytes_per_second=SLOW)
    tile = station.until_state(3, "copying", "handed_in")
    assert tile["files_total"] == len(tree)
    station.until(lambda: station.tiles()[3].get("seconds_left") is not None)
    assert said(ended(station, 3)) == ("sealed", None, None)
    assert station.tiles()[1]["state"] == "empty"  # its recorder went on elsewhere: nothing more to say
    kept = proven(station, tree.values())
    assert kept.sessions == 1
