"""A whole wall of bays: forty at once, storms, two recorders that udev reports alike, and what is no bay's business."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from time import process_time

import pytest
from emulation.dock import PATIENCE_S, Station, wait_until
from sqlalchemy import select

from core.settings import BaySettings
from devices.detect import Arrival, Classifier, Departure, DeviceEvent, Kind
from devices.emulation import FOLDER_TYPE, EmulationDetector
from devices.profile import load_profiles
from devices.usb_interface import UsbInterface
from ingest.dockd import Dockd
from ingest.docking import DockingSession
from ingest.status import BayStatus, TileState

S = TileState
CONTROLLER = "pci-0000:00:14.0"
PATHS = tuple(f"{CONTROLLER}-usb-0:{hub}.{port}" for hub in range(1, 6) for port in range(1, 9))


@dataclass
class Wall:
    """A dock with as many bays as wanted, and folders that stand for recorders."""

    station: Station
    folder: Path
    dockd: Dockd

    def plug(self, number: int, name: str = "") -> Path:
        name = name or f"r{number}"
        root = self.folder / name
        (root / "DCIM").mkdir(parents=True, exist_ok=True)
        (root / "DCIM/A.MP4").write_bytes(name.encode() * 100)
        return self.station.plug(name, PATHS[number - 1], directory=str(root), serial="ALIKE")

    def arrival(self, name: str, usb_device: str, exact_port: str = "", port: str = PATHS[0]) -> Arrival:
        """A folder, sighted as a real recorder's volume would be."""
        root = self.folder / name
        (root / "DCIM").mkdir(parents=True, exist_ok=True)
        (root / "DCIM/A.MP4").write_bytes(name.encode() * 100)
        self.folder.joinpath("controls").mkdir(exist_ok=True)
        control = self.folder / "controls" / f"{name}.json"
        control.write_text(f'{{"id_path": "{port}", "directory": "{root}"}}', encoding="utf-8")
        return Arrival(
            f"{usb_device}/block/sda", port, root, FOLDER_TYPE, serial="ALIKE", emulated_by=control,
            exact_port=exact_port, usb_device=usb_device,
        )  # fmt: skip

    def hear(self, sighting: Arrival | Departure) -> None:
        self.dockd._sightings.put(sighting)

    def tile(self, number: int) -> BayStatus:
        return self.dockd.board.tiles[number].status

    def wait(self, number: int, *states: TileState) -> BayStatus:
        wait_until(lambda: self.tile(number).state in states, lambda: self.tile(number))
        return self.tile(number)

    def sessions(self) -> list[str]:
        with self.station.db.reading() as session:
            return [row.state for row in session.scalars(select(DockingSession))]


def wall(station: Station, folder: Path, paths: tuple[str, ...]) -> Iterator[Wall]:
    folder.mkdir(exist_ok=True)
    dockd = Dockd(
        station.line, bays=[BaySettings(number=n, path=path) for n, path in enumerate(paths, 1)],
        profiles=load_profiles(), detectors=[EmulationDetector(station.control)], mounts=station.root / "mounts",
        status_path=station.root / "run/dock.json",
    )  # fmt: skip
    stop = Event()
    running = Thread(target=dockd.run, args=(stop,), daemon=True)
    running.start()
    yield Wall(station, folder, dockd)
    stop.set()
    running.join(PATIENCE_S)


@pytest.fixture
def forty(station: Station, tmp_path: Path) -> Iterator[Wall]:
    yield from wall(station, tmp_path / "cards", PATHS)


@pytest.fixture
def exact(station: Station, tmp_path: Path) -> Iterator[Wall]:
    paths = (PATHS[0].replace("-usb-", "-usbv2-"), PATHS[0].replace("-usb-", "-usbv3-"))
    yield from wall(station, tmp_path / "cards", paths)


def test_forty_recorders_with_one_serial_are_forty_sessions(forty: Wall) -> None:
    controls = [forty.plug(number) for number in range(1, 41)]
    for number in range(1, 41):
        assert forty.wait(number, S.SEALED, S.FAULT, S.PARTIAL).state is S.SEALED
    for control in controls:
        control.unlink()
    for number in range(1, 41):
        forty.wait(number, S.EMPTY)
    wait_until(lambda: forty.sessions() == ["released"] * 40)


def test_an_idle_wall_costs_next_to_nothing(forty: Wall) -> None:
    forty.wait(1, S.EMPTY)
    before = process_time()
    Event().wait(3.0)
    assert process_time() - before < 3.0 * 0.2  # forty bays, vaultd and the test beside them in one process


def test_a_storm_of_plugs_ends_as_what_is_there_at_the_end(forty: Wall) -> None:
    for turn in range(6):
        controls = [forty.plug(number) for number in (1, 2, 3)]
        if turn < 5:
            Event().wait(0.05 * turn)
            for control in controls:
                control.unlink()
    for number in (1, 2, 3):
        assert forty.wait(number, S.SEALED, S.FAULT, S.PARTIAL).state is S.SEALED
    assert forty.tile(4).state is S.EMPTY


def test_the_second_of_two_that_share_one_path_is_not_opened_until_the_first_has_left(forty: Wall) -> None:
    first = forty.arrival("first", "/devices/pci0/usb2/2-1")
    second = forty.arrival("second", "/devices/pci0/usb1/1-1")
    forty.hear(first)
    forty.wait(1, S.SEALED)
    forty.hear(second)
    said = forty.wait(0, S.UNKNOWN)
    assert said.message is not None
    assert (said.message.code, said.message.parameters["bay"]) == ("ingest.two_in_one_bay", 1)
    assert forty.tile(1).state is S.SEALED
    assert len(forty.sessions()) == 1
    forty.hear(Departure(first.volume, first.port))
    wait_until(lambda: len(forty.sessions()) == 2)
    assert forty.wait(1, S.SEALED).state is S.SEALED
    forty.wait(0, S.EMPTY)


def test_a_twin_that_leaves_again_leaves_the_first_alone(forty: Wall) -> None:
    first = forty.arrival("first", "/devices/pci0/usb2/2-1")
    second = forty.arrival("second", "/devices/pci0/usb1/1-1")
    forty.hear(first)
    forty.wait(1, S.SEALED)
    forty.hear(second)
    forty.wait(0, S.UNKNOWN)
    forty.hear(Departure(second.volume, second.port))
    forty.wait(0, S.EMPTY)
    assert forty.tile(1).state is S.SEALED


def test_bays_that_name_the_speed_take_both(exact: Wall) -> None:
    slow, fast = (PATHS[0].replace("-usb-", f"-usbv{n}-") for n in (2, 3))
    exact.hear(exact.arrival("slow", "/devices/pci0/usb1/1-1", slow))
    exact.hear(exact.arrival("fast", "/devices/pci0/usb2/2-1", fast))
    assert exact.wait(1, S.SEALED).state is S.SEALED
    assert exact.wait(2, S.SEALED).state is S.SEALED
    assert exact.tile(0).state is S.EMPTY


def test_what_is_plugged_in_outside_the_bays_is_named_only_when_it_holds_files(forty: Wall) -> None:
    stick = forty.arrival("stick", "/devices/pci0/usb1/1-9", port=f"{CONTROLLER}-usb-0:9")
    for kind in (Kind.OTHER, Kind.SERIAL):  # the station's own keyboard and its badge reader
        forty.hear(replace(stick, volume=f"own-{kind}", kind=kind, interfaces=(UsbInterface(3, 1, 1),)))
    forty.hear(stick)
    said = forty.wait(0, S.UNKNOWN)
    assert said.message is not None
    assert said.message.code == "ingest.unmapped_bay"
    assert forty.sessions() == []


# The same port at two speeds, as the kernel tells it.

PORT = "pci-0000:00:04.0-usb-0:3"
AT_3 = "/devices/pci0000:00/0000:00:04.0/usb2/2-3"
AT_2 = "/devices/pci0000:00/0000:00:04.0/usb1/1-3"


def event(device: str, **facts: str) -> DeviceEvent:
    plain = {
        "SUBSYSTEM": "block",
        "DEVTYPE": "disk",
        "DEVPATH": f"{device}/x:1.0/host0/block/sda",
        "DEVNAME": "/dev/sda",
    }
    return DeviceEvent("add", plain | {"ID_PATH": f"{PORT}:1.0-scsi-0:0:0:0", "ID_FS_TYPE": "vfat"} | facts)


def test_one_port_at_two_speeds_is_one_bay_and_two_devices() -> None:
    classifier = Classifier(lambda hub: "5000" if hub.endswith("usb2") else "480")
    (fast,), (slow,) = classifier.feed(event(AT_3)), classifier.feed(event(AT_2))
    assert isinstance(fast, Arrival)
    assert isinstance(slow, Arrival)
    assert fast.port == slow.port == PORT
    assert (fast.exact_port, slow.exact_port) == (
        PORT.replace("usb-", "usbv3-"),
        PORT.replace("usb-", "usbv2-"),
    )
    assert (fast.usb_device, slow.usb_device) == (AT_3, AT_2)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"SUBSYSTEM": "tty", "DEVNAME": "/dev/ttyUSB0"}, Kind.SERIAL),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_USB_INTERFACES": ":060101:"}, Kind.STILL_IMAGE),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_USB_INTERFACES": ":030101:"}, Kind.OTHER),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_USB_INTERFACES": ":080650:030101:"}, None),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_USB_INTERFACES": ":090000:"}, None),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_device", "ID_USB_INTERFACES": ":ff0000:"}, None),
        ({"SUBSYSTEM": "usb", "DEVTYPE": "usb_interface", "ID_USB_INTERFACES": ":030101:"}, None),
        ({"SUBSYSTEM": "tty", "ID_PATH": "platform-serial8250"}, None),
    ],
)
def test_a_line_and_a_camera_are_sighted_and_the_parts_of_a_disk_are_not(
    facts: dict[str, str], expected: Kind | None
) -> None:
    sightings = Classifier().feed(event(AT_3, **facts))
    assert [s.kind for s in sightings if isinstance(s, Arrival)] == ([expected] if expected else [])
