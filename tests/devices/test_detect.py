from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.detect import Arrival, Classifier, Departure, DeviceEvent, Sighting, port_of

USB = "/devices/pci0000:00/0000:00:04.0/usb2/2-3"
DISK = f"{USB}/2-3:1.0/host0/target0:0:0/0:0:0:0/block/sda"
ID_PATH = "pci-0000:00:04.0-usb-0:3"
BLOCK = {
    "SUBSYSTEM": "block", "ID_BUS": "usb", "ID_PATH": f"{ID_PATH}:1.0-scsi-0:0:0:0", "ID_SERIAL_SHORT": "X1A0000001",
}  # fmt: skip
PARTITION = BLOCK | {
    "DEVPATH": f"{DISK}/sda1", "DEVNAME": "/dev/sda1", "DEVTYPE": "partition", "ID_FS_TYPE": "exfat",
    "ID_PART_TABLE_TYPE": "dos",
}  # fmt: skip
WHOLE = BLOCK | {"DEVPATH": DISK, "DEVNAME": "/dev/sda", "DEVTYPE": "disk", "ID_PART_TABLE_TYPE": "dos"}


def feed(*events: tuple[str, dict[str, str]]) -> list[Sighting]:
    classifier = Classifier()
    return [s for action, properties in events for s in classifier.feed(DeviceEvent(action, properties))]


@pytest.mark.parametrize(
    ("id_path", "port"),
    [
        ("pci-0000:00:04.0-usb-0:3:1.0-scsi-0:0:0:0", "pci-0000:00:04.0-usb-0:3"),
        ("pci-0000:00:04.0-usb-0:3", "pci-0000:00:04.0-usb-0:3"),
        ("pci-0000:00:04.0-usb-0:5.2:1.0-scsi-0:0:0:0", "pci-0000:00:04.0-usb-0:5.2"),
        ("pci-0000:00:04.0-usb-0:5.2.4", "pci-0000:00:04.0-usb-0:5.2.4"),
        ("platform-dummy_hcd.0-usb-0:1:1.0-scsi-0:0:0:0", "platform-dummy_hcd.0-usb-0:1"),
    ],
)
def test_the_bay_is_the_port_whatever_hangs_below_it(id_path: str, port: str) -> None:
    assert port_of(id_path) == port


def test_a_partition_arrives_and_its_disk_does_not() -> None:
    (arrival,) = feed(("add", WHOLE), ("add", PARTITION))
    assert isinstance(arrival, Arrival)
    assert (arrival.port, arrival.node, arrival.fs_type) == (ID_PATH, Path("/dev/sda1"), "exfat")


def test_a_disk_without_a_partition_table_arrives_itself() -> None:
    bare = {k: v for k, v in WHOLE.items() if k != "ID_PART_TABLE_TYPE"} | {"ID_FS_TYPE": "vfat"}
    (arrival,) = feed(("add", bare))
    assert arrival.volume == DISK


def test_a_usb_device_that_leaves_takes_its_volumes_along_once() -> None:
    bare_remove = {
        "DEVPATH": USB,
        "SUBSYSTEM": "usb",
        "DEVTYPE": "usb_device",
        "ID_PATH": ID_PATH,
        "PRODUCT": "46f4/1/0",
    }
    sightings = feed(("add", PARTITION), ("remove", bare_remove), ("remove", PARTITION), ("remove", WHOLE))
    assert sightings[1:] == [Departure(f"{DISK}/sda1", ID_PATH)]


def test_a_neighbour_whose_path_only_begins_alike_stays() -> None:
    neighbour = {"DEVPATH": USB[:-1], "SUBSYSTEM": "usb", "DEVTYPE": "usb_device"}
    assert len(feed(("add", PARTITION), ("remove", neighbour))) == 1


def test_a_medium_that_is_taken_out_of_a_reader_departs_and_a_new_one_arrives() -> None:
    empty = {k: v for k, v in WHOLE.items() if k != "ID_PART_TABLE_TYPE"}
    card = empty | {"ID_FS_TYPE": "exfat"}
    other = card | {"ID_FS_LABEL": "OTHER"}
    kinds = [type(s) for s in feed(("add", card), ("change", empty), ("change", card), ("change", other))]
    assert kinds == [Arrival, Departure, Arrival, Departure, Arrival]


@pytest.mark.parametrize(
    "properties",
    [
        PARTITION | {"ID_PATH": "pci-0000:00:1f.2-ata-1"},
        PARTITION | {"SUBSYSTEM": "net"},
        {k: v for k, v in PARTITION.items() if k != "ID_PATH"},
        {},
    ],
)
def test_what_is_no_volume_on_usb_is_nothing(properties: dict[str, str]) -> None:
    assert feed(("add", properties)) == []


def test_a_removal_that_was_never_heard_is_made_up_for() -> None:
    classifier = Classifier()
    classifier.feed(DeviceEvent("add", PARTITION))
    assert classifier.missing({PARTITION["DEVPATH"]}) == []
    (lost,) = classifier.missing(set())
    assert classifier.feed(lost) == [Departure(PARTITION["DEVPATH"], ID_PATH)]


@given(st.lists(st.tuples(st.sampled_from(["add", "change", "remove", "bind"]), st.sampled_from([0, 1, 2]))))
def test_each_volume_arrives_and_departs_in_turn_whatever_the_kernel_repeats(
    events: list[tuple[str, int]],
) -> None:
    devices = [PARTITION, WHOLE, {"DEVPATH": USB, "SUBSYSTEM": "usb"}]
    sightings = feed(*((action, devices[which]) for action, which in events))
    kinds = [type(s) for s in sightings]
    assert kinds == [Arrival if n % 2 == 0 else Departure for n in range(len(kinds))]


def test_the_real_pyudev_sees_coldplug_hot_plug_and_a_pull() -> None:
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here.parent.parent)}
    done = subprocess.run(
        ["umockdev-wrapper", sys.executable, str(here / "umockdev_scene.py")],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(s["kind"], s["port"]) for s in seen] == [
        ("Arrival", "pci-0000:00:04.0-usb-0:3"),
        ("Arrival", "pci-0000:00:04.0-usb-0:7"),
        ("Departure", "pci-0000:00:04.0-usb-0:3"),
        ("Arrival", "pci-0000:00:04.0-usb-0:3"),
    ]
    first, second, _, back = seen
    assert (first["node"], first["serial"], first["label"]) == ("/dev/sda1", "X1A0000001", "BODYCAM")
    assert (first["ids"], first["fs_type"]) == ("46f4:0001", "exfat")
    assert second["serial"] == "X1A0000002"
    assert back["node"] == "/dev/sdc1"


def test_a_partition_without_a_known_file_system_is_announced_and_an_extended_one_is_not() -> None:
    unknown = {k: v for k, v in PARTITION.items() if k != "ID_FS_TYPE"}
    (arrival,) = feed(("add", WHOLE), ("add", unknown))
    assert isinstance(arrival, Arrival)
    assert arrival.fs_type == ""
    assert feed(("add", unknown | {"ID_PART_ENTRY_TYPE": "0xf"})) == []
