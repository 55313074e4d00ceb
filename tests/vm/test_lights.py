"""Lamps on a real GPIO chip of the guest's kernel: what its pins carry while recorders come and go."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from vm.card import FileSystem, MakeCard, enforcement, film
from vm.reconfigured import change, start_dock, stop_dock
from vm.station import Station

ADAPTER = Path(__file__).with_name("gpio_adapter.py")
PINS = "/run/pins"
LINES = {1: 2, 2: 5, 3: 7}  # bay: line
SLOW = 600_000  # bytes a second
RULE = b'SUBSYSTEM=="gpio", KERNEL=="gpiochip*", SYMLINK+="bay-lights"\n'  # the number changes with each plugging
COPYING = {"copying", "handed_in"}
SETTINGS = """\
[dock.lights]
driver = "gpio"
chip = "/dev/bay-lights"
[dock.lights.lines]
1 = 2
2 = 5
3 = 7
"""


def plug_adapter(station: Station) -> None:
    guest = station.machine.guest
    guest.start("adapter", ["/usr/bin/python3", "/run/adapter.py", PINS], {})
    guest.until("test -c /dev/bay-lights", within_s=60)


def pull_adapter(station: Station) -> None:
    station.machine.guest.run("systemctl stop adapter")
    station.machine.guest.until("! test -e /dev/bay-lights", within_s=60)


@pytest.fixture
def lit(station: Station) -> Station:
    """A station with a lamp for each of its three bays."""
    guest = station.machine.guest
    guest.run("cat >/run/adapter.py", stdin=ADAPTER.read_bytes())
    guest.run("cat >/etc/udev/rules.d/71-bay-lights.rules", stdin=RULE)
    guest.run("udevadm control --reload; modprobe -a uhid hid-cp2112")
    plug_adapter(station)
    stop_dock(station)
    change(station, at_end=SETTINGS)
    start_dock(station)
    return station


def pins(station: Station) -> list[tuple[float, int]]:
    """What the pins have carried, from when on (seconds)."""
    told = station.machine.guest.out(["cat", PINS]).split("\n")
    return [(float(at), int(value)) for at, value in (line.split() for line in told if line)]


def changes_of(station: Station, bay: int) -> list[bool]:
    """On and off of a bay's lamp, in turn, since the pins were forgotten last."""
    lit = [bool(value >> LINES[bay] & 1) for _, value in pins(station)]
    return [now for before, now in pairwise([False, *lit]) if now != before]


def forget(station: Station) -> None:
    station.machine.guest.run(f"tail -n 1 {PINS} >{PINS}.last; cat {PINS}.last >{PINS}")


def test_lamps_follow_the_board_and_a_lamp_that_is_lost_stops_nothing(make: MakeCard, lit: Station) -> None:
    guest, usb = lit.machine.guest, lit.machine.usb
    card = make("lit", FileSystem.EXFAT, enforcement("X1A0009", "060129", [film(), film(3_000_000)]))
    other = make("dark", FileSystem.EXFAT, enforcement("X1A0008", "060128", [film()]))
    assert "sealdock" in guest.out("cat /sys/kernel/debug/gpio"), "the lines are the dock's"

    # 1. steady while it is copied: leave it in
    usb.storage("lit", "5.1", card, serial="LIT", read_only=True, bytes_per_second=SLOW)
    lit.until(lambda: lit.tiles()[1]["state"] in COPYING and changes_of(lit, 1) == [True])
    forget(lit)
    lit.until(lambda: lit.tiles()[1]["bytes_done"] > 500_000)
    assert lit.tiles()[1]["state"] in COPYING
    assert pins(lit)[-1][1] == 1 << LINES[1], "one lamp, and that one only"
    usb.throttle("lit", 0)

    # 2. it blinks when it may be taken, and is dark when it has been
    lit.until_state(1, "sealed")
    lit.until(lambda: len(changes_of(lit, 1)) >= 6)
    usb.pull("lit")
    lit.until_state(1, "empty")
    lit.until(lambda: pins(lit)[-1][1] == 0)

    # 3. a dock that is killed says nothing: a lamp that nobody moves is dark or steady, and neither is "safe"
    usb.storage("lit", "5.1", card, serial="LIT", read_only=True)
    lit.until_state(1, "sealed")
    lit.until(lambda: len(changes_of(lit, 1)) >= 3)
    stop_dock(lit, "KILL")
    forget(lit)
    guest.run("sleep 4")  # two rhythms long
    assert len(pins(lit)) == 1
    start_dock(lit)
    lit.until_state(1, "sealed")
    usb.pull("lit")

    # 4. an adapter that is pulled out costs the lamps and nothing else; put back, they shine again
    pull_adapter(lit)
    lit.until(lambda: "It stays dark" in guest.out(["cat", "/run/dockd.out"]) or not plug_other(lit, other))
    lit.until_state(2, "sealed")
    plug_adapter(lit)
    forget(lit)
    lit.until(lambda: len(changes_of(lit, 2)) >= 4)
    stop_dock(lit)
    assert pins(lit)[-1][1] == 0, "a dock that ends in good order leaves them dark"
    assert lit.take_out().report.failures == []


def plug_other(station: Station, card: Path) -> bool:
    """A recorder into bay 2, once; the lamps have something to show then."""
    if "other" not in station.machine.usb.plugged():
        station.machine.usb.storage("other", "5.2", card, serial="OTHER", read_only=True)
    return False
