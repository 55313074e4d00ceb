"""The gate before the bays, in a real kernel: a keyboard in a bay gets no driver, and one elsewhere does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from vm.hardware import BAY
from vm.machine import Machine

RULES = Path(__file__).resolve().parents[2] / "systemd/70-sealdock.rules"
GATE = """
import threading
from devices.authorise import BayPorts
from devices.gatekeeper import keep_gate
keep_gate(BayPorts(frozenset({"%s"})), threading.Event())
"""
DEVICE = "/sys/bus/usb/devices/1-{port}"


@pytest.fixture
def gated(lab: None, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the udev rule, bay 1 at port 3, and the gate running."""
    with Machine.boot(tmp_path / "m") as machine:
        run = machine.guest.run
        bay = BAY.format(port="3")
        run(
            "mkdir -p /etc/sealdock && cat >/etc/sealdock/sealdock.toml",
            stdin=f'[[dock.bays]]\nnumber = 1\npath = "{bay}"\n'.encode(),
        )
        run("cat >/etc/udev/rules.d/70-sealdock.rules", stdin=RULES.read_bytes())
        run("cat >/run/gate.py", stdin=(GATE % bay).encode())
        run("udevadm control --reload; udevadm trigger --action=add --subsystem-match=usb; udevadm settle")
        environment = {"PYTHONPATH": "/product/checkout:/product/packages", "PYTHONDONTWRITEBYTECODE": "1"}
        machine.guest.start("gate", ["/usr/bin/python3", "/run/gate.py"], environment)
        machine.guest.until(
            'test "$(cat /sys/bus/usb/devices/usb1/interface_authorized_default)" = 0', within_s=60
        )
        yield machine


def keyboards(machine: Machine) -> int:
    return int(machine.guest.run("grep -c 'QEMU USB Keyboard' /proc/bus/input/devices", check=False).out or 0)


def test_a_keyboard_in_a_bay_types_nothing_and_elsewhere_it_does(gated: Machine) -> None:
    guest, usb = gated.guest, gated.usb
    usb.keyboard("inside", "3")
    guest.until(f"test -e {DEVICE.format(port=3)}:1.0/authorized")
    usb.keyboard(
        "outside", "4"
    )  # the gate hears one after the other: when this one works, it has decided on both
    guest.until("grep -q 'QEMU USB Keyboard' /proc/bus/input/devices")
    assert guest.out(f"cat {DEVICE.format(port=4)}:1.0/authorized").strip() == "1"
    assert guest.out(f"cat {DEVICE.format(port=3)}:1.0/authorized").strip() == "0"
    assert guest.run(f"test -e {DEVICE.format(port=3)}:1.0/driver", check=False).code != 0
    assert keyboards(gated) == 1
