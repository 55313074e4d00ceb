"""The gate before the bays of a station at work: footage passes, and what a device is besides a recorder does not."""

from __future__ import annotations

from collections import Counter

from vm.card import FileSystem, MakeCard, enforcement, film
from vm.gadget import Gadgets
from vm.place import CHECKOUT
from vm.station import Station

RULES = CHECKOUT / "systemd/70-sealdock.rules"
GADGET_NUMBER = 5
READ_ALL = "for e in /dev/input/event*; do timeout 12 head -c 24 $e >/run/read-${e##*/} & done; wait"


def gate(station: Station) -> None:
    """The udev rule and `sealdock bay authorise`; awaited until the bays' controllers are closed."""
    run = station.machine.guest.run
    run("mkdir -p /etc/sealdock && ln -sf /data/sealdock.toml /etc/sealdock/sealdock.toml")
    run("cat >/etc/udev/rules.d/70-sealdock.rules", stdin=RULES.read_bytes())
    run("udevadm control --reload")
    station.launch("gate", "bay", "authorise")
    closed = "grep -q controller /run/gate.out && grep -lx 0 /sys/bus/usb/devices/usb*/interface_authorized_default"
    station.machine.guest.until(f'test "$({closed} | wc -l)" -ge 2', within_s=60)


def inputs(station: Station) -> set[str]:
    return set(station.machine.guest.out("ls /dev/input").split())


def test_storage_passes_the_gate_and_the_keyboard_in_the_same_device_types_nothing(
    make: MakeCard, station: Station
) -> None:
    guest, gadgets = station.machine.guest, Gadgets(station.machine.guest)
    plain = enforcement("X1A0011", "060123", [film(), film(500_000)])
    armed = enforcement("X1A0012", "060124", [film(), film(500_000)])
    cards = make("plain", FileSystem.EXFAT, plain), make("armed", FileSystem.FAT32, armed)
    gadgets.load()
    gate(station)
    station.machine.usb.storage("plain", "5.1", cards[0], serial="PLAIN", read_only=True)
    (station.machine.plan.hand / "armed.img").hardlink_to(cards[1])
    guest.run("cp --sparse=always /hand/armed.img /run/armed.img", within_s=120)
    before = inputs(station)
    gadgets.plug("armed", 0, medium="/run/armed.img", types=True)
    tile = station.until_state(GADGET_NUMBER, "sealed", "fault", "unknown", "partial")
    assert (tile["state"], tile["profile"]) == ("sealed", "enforcement-storage")
    station.until_state(1, "sealed")
    assert _decisions(station, "armed") == {"08": "1", "03": "0"}
    gadgets.press_a("armed")
    assert inputs(station) == before
    assert "interfaces refused" in guest.out("cat /run/gate.out")
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter([*plain.values(), *armed.values()])

    gadgets.plug("desk", 1, types=True)  # the same keyboard in a port that is no bay: it types
    guest.until(f'test "$(ls /dev/input | wc -l)" -gt {len(before)}')
    guest.start("reading", ["/bin/sh", "-c", READ_ALL], {})
    guest.until("ls /run/read-*")
    gadgets.press_a("desk")
    guest.until("find /run/read-* -size +0 | grep -q .")


def _decisions(station: Station, product: str) -> dict[str, str]:
    """The interfaces' classes of a device and whether each is authorised."""
    look = (
        f"d=$(dirname $(grep -lx {product} /sys/bus/usb/devices/*/product)); "
        "for i in $d/*:1.*; do echo $(cat $i/bInterfaceClass $i/authorized); done"
    )
    return dict(line.split() for line in station.machine.guest.out(look).splitlines())
