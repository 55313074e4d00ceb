from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from emulation.card import make_exfat

from devices.detect import Arrival, Departure, Sighting
from devices.emulation import EmulationDetector, plug_in, read_plug
from devices.error import DepartedError, EmulationError
from devices.mass_storage import FileStream
from devices.match import match
from devices.mount import sweep
from devices.profile import load_profiles
from devices.recorder import SourceFile
from devices.volume import open_volume, presence_of

PORT = "pci-0000:00:04.0-usb-0:3"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def _no_mount_stays(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path / "mounts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "card/DCIM/100MEDIA").mkdir(parents=True)
    (tmp_path / "card/DCIM/100MEDIA/MOV_0001.MP4").write_bytes(CONTENT)
    return tmp_path / "card"


def plug(tmp_path: Path, **facts: object) -> Path:
    (tmp_path / "control").mkdir(exist_ok=True)
    path = tmp_path / "control/a.json"
    plug_in(path, json.dumps({"id_path": PORT, "serial": "E1", **facts}))
    return path


def look(detector: EmulationDetector) -> list[Sighting]:
    seen: list[Sighting] = []
    detector.look(seen.append)
    return seen


def arrive(tmp_path: Path) -> Arrival:
    (arrival,) = look(EmulationDetector(tmp_path / "control"))
    assert isinstance(arrival, Arrival)
    return arrival


def open_stream(arrival: Arrival, tmp_path: Path) -> FileStream:
    medium = open_volume(arrival, presence_of(arrival), tmp_path / "mounts")
    listing = medium.list()
    profile = match(load_profiles(), listing.layout, "x")
    assert profile is not None
    recorder = listing.recorder(profile)
    (file,) = [f for f in recorder.files() if isinstance(f, SourceFile)]
    return recorder.open(file)


def test_a_control_file_plugs_in_and_its_removal_pulls_out(tmp_path: Path, folder: Path) -> None:
    control = plug(tmp_path, directory=str(folder), vendor="46f4", product="0001", label="CARD")
    detector = EmulationDetector(tmp_path / "control")
    (arrival,) = look(detector)
    assert isinstance(arrival, Arrival)
    assert (arrival.port, arrival.serial, arrival.vendor_id, arrival.label) == (PORT, "E1", "46f4", "CARD")
    assert look(detector) == []
    control.unlink()
    assert look(detector) == [Departure(arrival.volume, PORT)]


def test_another_control_file_under_the_same_name_is_a_pull_and_a_plug(tmp_path: Path, folder: Path) -> None:
    plug(tmp_path, directory=str(folder))
    detector = EmulationDetector(tmp_path / "control")
    look(detector)
    plug(tmp_path, directory=str(folder), serial="E2")
    departure, arrival = look(detector)
    assert isinstance(departure, Departure)
    assert isinstance(arrival, Arrival)
    assert arrival.serial == "E2"


@pytest.mark.parametrize("how", ["image", "directory", "both"])
def test_an_image_goes_through_the_mount_ladder_and_a_folder_says_that_it_does_not(
    tmp_path: Path, folder: Path, how: str
) -> None:
    image = make_exfat(tmp_path / "card.img", folder)
    if how == "both":
        image.write_bytes(bytes(1 << 20))  # nothing can mount this
    facts = {"image": str(image), "directory": str(folder)}
    plug(tmp_path, **{name: facts[name] for name in facts if how in {name, "both"}})
    arrival = arrive(tmp_path)
    medium = open_volume(arrival, presence_of(arrival), tmp_path / "mounts")
    assert (medium.transport == "emulation") is (how != "image")
    listing = medium.list()
    assert "DCIM/100MEDIA/MOV_0001.MP4" in listing.layout.paths
    listing.close()


def test_a_pull_in_the_middle_of_a_read_is_felt_at_once(tmp_path: Path, folder: Path) -> None:
    control = plug(tmp_path, image=str(make_exfat(tmp_path / "card.img", folder)))
    stream = open_stream(arrive(tmp_path), tmp_path)
    room = memoryview(bytearray(1000))
    assert stream.readinto(room) == 1000
    control.unlink()
    with pytest.raises(DepartedError) as caught:
        stream.readinto(room)
    assert isinstance(caught.value, OSError)
    stream.close()


def test_a_pull_ends_the_wait_of_a_slow_card(tmp_path: Path, folder: Path) -> None:
    plug(tmp_path, directory=str(folder), bytes_per_second=1000)
    arrival = arrive(tmp_path)
    presence = presence_of(arrival)
    ended: list[DepartedError] = []

    def wait() -> None:
        try:
            presence.pace(1_000_000)
        except DepartedError as cause:
            ended.append(cause)

    waiting = Thread(target=wait)
    waiting.start()
    presence.depart()
    waiting.join(5)
    assert len(ended) == 1


def test_a_slow_card_is_as_slow_as_it_says(tmp_path: Path, folder: Path) -> None:
    plug(tmp_path, directory=str(folder), bytes_per_second=2 * len(CONTENT))
    stream = open_stream(arrive(tmp_path), tmp_path)
    room, began = memoryview(bytearray(len(CONTENT))), time.monotonic()
    done = 0
    while count := stream.readinto(room[done:]):
        done += count
    assert bytes(room) == CONTENT
    assert 0.4 < time.monotonic() - began < 2
    stream.close()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Invalid JSON"),
        ('{"serial": "x"}', "id_path: Field required"),
        (f'{{"id_path": "{PORT}"}}', "either image or directory"),
        (f'{{"id_path": "{PORT}", "directory": "nowhere"}}', "there is no .*nowhere"),
        (f'{{"id_path": "{PORT}", "directory": ".", "colour": "red"}}', "colour"),
        (f'{{"id_path": "{PORT}", "directory": ".", "bytes_per_second": 0}}', "bytes_per_second"),
    ],
)
def test_a_broken_control_file_is_named_and_plugs_in_nothing(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(EmulationError, match=why):
        read_plug(path)
    assert look(EmulationDetector(tmp_path)) == []


def test_the_detector_runs_until_it_is_told_to_stop(tmp_path: Path, folder: Path) -> None:
    seen, stop = list[Sighting](), Event()
    watcher = Thread(target=EmulationDetector(tmp_path / "control").watch, args=(seen.append, stop))
    watcher.start()
    plug(tmp_path, directory=str(folder))
    end = time.monotonic() + 5
    while not seen and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    watcher.join(5)
    assert len(seen) == 1
