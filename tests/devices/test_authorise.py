"""Who gets a driver in a bay: decided on sysfs trees of our making, the shapes taken from real devices."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.authorise import BayPorts, Place, authorise, close_controllers, refused_interfaces
from devices.port import controller_of, exact_path, port_of, without_speed
from devices.usb_interface import UsbInterface, offers_footage, parse_interfaces

BAY = "pci-0000:00:14.0-usb-0:5.2"
HUB = "pci-0000:00:14.0-usb-0:5"
STORAGE, KEYBOARD, HUB_INTERFACE = (0x08, 0x06, 0x50), (0x03, 0x01, 0x01), (0x09, 0x00, 0x00)
MTP, ACM, NETWORK, MAKER = (0x06, 0x01, 0x01), (0x02, 0x02, 0x01), (0x02, 0x06, 0x00), (0xFF, 0xFF, 0xFF)
PORTS = BayPorts(frozenset({BAY}), frozenset({("1a86", "7523")}))
Numbers = tuple[int, int, int]


class Usb:
    """A /sys with one device, and what was written to the bus."""

    def __init__(
        self, root: Path, *interfaces: Numbers, ids: str = "46f4:0001", authorized: str = "0"
    ) -> None:
        self.sys = root / "sys"
        self.directory = root / "sys/devices/pci0000:00/usb1/1-5/1-5.2"
        (self.sys / "bus/usb").mkdir(parents=True)
        (self.sys / "bus/usb/drivers_probe").touch()
        self.directory.mkdir(parents=True)
        for name, value in zip(("idVendor", "idProduct"), ids.split(":"), strict=True):
            (self.directory / name).write_text(value + "\n", encoding="ascii")
        for number, values in enumerate(interfaces):
            place = self.directory / f"1-5.2:1.{number}"
            place.mkdir()
            for part, value in zip(("Class", "SubClass", "Protocol"), values, strict=True):
                (place / f"bInterface{part}").write_text(f"{value:02x}\n", encoding="ascii")
            (place / "authorized").write_text(authorized + "\n", encoding="ascii")

    def authorized(self) -> list[str]:
        return [
            path.read_text(encoding="ascii").strip() for path in sorted(self.directory.glob("*/authorized"))
        ]

    def probed(self) -> str:
        return (self.sys / "bus/usb/drivers_probe").read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("interface", "ids", "expected"),
    [
        (STORAGE, "46f4:0001", "1"),
        (MTP, "46f4:0004", "1"),
        (ACM, "0525:a4a7", "1"),
        (MAKER, "1a86:7523", "1"),
        (MAKER, "1a86:7524", "0"),
        (KEYBOARD, "046d:c31c", "0"),
        (KEYBOARD, "1a86:7523", "0"),
        (NETWORK, "0525:a4a2", "0"),
        (HUB_INTERFACE, "0409:55aa", "0"),
        ((0xE0, 0x01, 0x03), "0525:a4a2", "0"),
        ((0x01, 0x01, 0x00), "0525:a4a2", "0"),
    ],
)
def test_in_a_bay_only_what_footage_comes_through_gets_a_driver(
    tmp_path: Path, interface: Numbers, ids: str, expected: str
) -> None:
    usb = Usb(tmp_path, interface, ids=ids)
    authorise(PORTS, usb.directory, BAY, sys=usb.sys)
    assert usb.authorized() == [expected]
    assert usb.probed() == ("1-5.2:1.0" if expected == "1" else "")


def test_of_a_device_that_is_storage_and_keyboard_only_the_storage_is_let_in_and_the_rest_is_named(
    tmp_path: Path,
) -> None:
    usb = Usb(tmp_path, STORAGE, KEYBOARD)
    verdict = authorise(PORTS, usb.directory, BAY, sys=usb.sys)
    assert usb.authorized() == ["1", "0"]
    assert verdict.granted == ("1-5.2:1.0",)
    assert [(name, one.shown) for name, one in verdict.refused] == [
        ("1-5.2:1.1", "03:01:01 (keyboard, mouse or other input)")
    ]
    listed = parse_interfaces(":080650:030101:")
    assert [one.cls for one in refused_interfaces(PORTS, listed, ("46f4", "0001"))] == [3]


def test_a_keyboard_that_was_bound_before_we_came_loses_its_driver(tmp_path: Path) -> None:
    usb = Usb(tmp_path, KEYBOARD, authorized="1")
    authorise(PORTS, usb.directory, BAY, sys=usb.sys)
    assert usb.authorized() == ["0"]


def test_a_decision_that_stands_is_not_written_again(tmp_path: Path) -> None:
    usb = Usb(tmp_path, STORAGE, KEYBOARD)
    authorise(PORTS, usb.directory, BAY, sys=usb.sys)
    (usb.sys / "bus/usb/drivers_probe").write_text("", encoding="ascii")
    again = authorise(PORTS, usb.directory, BAY, sys=usb.sys)
    assert (usb.probed(), len(again.granted), len(again.refused)) == ("", 1, 1)


def test_on_the_way_to_a_bay_a_hub_is_a_hub_and_nothing_else(tmp_path: Path) -> None:
    usb = Usb(tmp_path, HUB_INTERFACE, KEYBOARD, STORAGE)
    authorise(PORTS, usb.directory, HUB, sys=usb.sys)
    assert usb.authorized() == ["1", "0", "0"]


def test_behind_a_bay_nothing_is_let_in(tmp_path: Path) -> None:
    usb = Usb(tmp_path, STORAGE, HUB_INTERFACE)
    authorise(PORTS, usb.directory, f"{BAY}.1", sys=usb.sys)
    assert usb.authorized() == ["0", "0"]


def test_the_stations_own_ports_work_as_they_did(tmp_path: Path) -> None:
    usb = Usb(tmp_path, KEYBOARD)
    authorise(PORTS, usb.directory, "pci-0000:00:14.0-usb-0:9", sys=usb.sys)
    assert usb.authorized() == ["1"]


def test_a_device_that_leaves_while_we_look_is_no_error(tmp_path: Path) -> None:
    assert authorise(PORTS, tmp_path / "1-5.2", BAY).granted == ()


def test_only_the_controllers_of_bays_are_closed(tmp_path: Path) -> None:
    hubs = []
    for name in ("usb1", "usb2", "usb3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "interface_authorized_default").write_text("1", encoding="ascii")
        hubs.append(("pci-0000:00:1a.0" if name == "usb3" else "pci-0000:00:14.0", tmp_path / name))
    assert [path.name for path in close_controllers(PORTS, hubs)] == ["usb1", "usb2"]
    assert (tmp_path / "usb3/interface_authorized_default").read_text(encoding="ascii") == "1"


def test_two_sockets_with_one_id_path_are_two_places_when_the_speed_is_named() -> None:
    ports = BayPorts(frozenset({"pci-0000:00:14.0-usbv3-0:3"}))
    assert ports.place("pci-0000:00:14.0-usb-0:3", "pci-0000:00:14.0-usbv3-0:3") is Place.BAY
    assert ports.place("pci-0000:00:14.0-usb-0:3", "pci-0000:00:14.0-usbv2-0:3") is Place.ELSEWHERE
    assert ports.controllers == {"pci-0000:00:14.0"}


@pytest.mark.parametrize(
    ("devpath", "speed", "expected"),
    [
        ("/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0/host0/block/sda", "5000", ("usbv3", "usb2/2-3")),
        ("/devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/host0/block/sda", "480", ("usbv2", "usb1/1-3")),
        ("/devices/pci0000:00/0000:00:14.0/usb1/1-3", "12", ("usbv1", "usb1/1-3")),
        (
            "/devices/pci0000:00/0000:00:14.0/usb1/1-5/1-5.2/1-5.2.1/x",
            "480",
            ("usbv2", "usb1/1-5/1-5.2/1-5.2.1"),
        ),
        ("/devices/platform/dummy_hcd.0/usb3/3-1/3-1:1.0", "20000", ("usbv3", "usb3/3-1")),
        ("/devices/pci0000:00/0000:00:14.0/usb1/1-3", "", ("", "usb1/1-3")),
        ("/devices/emulated/a/block/a", "480", ("", "")),
    ],
)
def test_the_exact_path_names_the_speed_of_the_bus(
    devpath: str, speed: str, expected: tuple[str, str]
) -> None:
    exact, device = exact_path(devpath, "pci-0000:00:14.0-usb-0:3:1.0", lambda _root: speed)
    assert exact == (f"pci-0000:00:14.0-{expected[0]}-0:3" if expected[0] else "")
    assert device.endswith(expected[1])
    assert port_of(without_speed(exact)) == ("pci-0000:00:14.0-usb-0:3" if exact else "")


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=80))
def test_whatever_a_device_says_of_its_interfaces_is_read_or_passed_over(text: str) -> None:
    found = parse_interfaces(text)
    assert all(0 <= n <= 255 for one in found for n in (one.cls, one.subclass, one.protocol))
    assert len(found) <= 33
    assert isinstance(controller_of(text), str)


def test_a_keyboard_offers_no_footage() -> None:
    assert not offers_footage([UsbInterface(*KEYBOARD)])
    assert offers_footage([UsbInterface(*KEYBOARD), UsbInterface(*STORAGE)])
