from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from emulation.layouts import LAYOUTS, UNKNOWN, fill
from hypothesis import given
from hypothesis import strategies as st

from devices.capture import HEAD, Capture, CaptureError, Expected, capture, magic_of, read_capture
from devices.mass_storage import Medium, Presence
from devices.origin import Origin, origin_of
from devices.profile import find_profile, load_profiles
from devices.recorder import Identity
from devices.replay import UnprovenProfileError, captures_in, is_as_expected, prove, replay
from devices.stand_in import StandIns

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROFILES = load_profiles()
CAPTURES = Path(__file__).resolve().parents[1] / "captures"
KEY = b"k" * 32


def capture_of(root: Path, serial: str = "", origin: Origin | None = None) -> Capture:
    listing = Medium(root, "folder", Identity(serial), Presence("it")).list()
    try:
        return capture(listing, origin or Origin(), NOW, KEY)
    finally:
        listing.close()


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda path: path.stem)
def test_every_kept_capture_replays_as_it_says(path: Path) -> None:
    seen = read_capture(path)
    assert seen.expect is not None
    result = replay(find_profile(PROFILES, seen.expect.profile), seen)
    assert result.is_recognised, result.reasons
    assert is_as_expected(result, seen)
    others = [one for one in PROFILES if one.id != seen.expect.profile]
    assert not any(replay(one, seen).is_recognised for one in others)


def test_the_shipped_profiles_claim_no_more_than_the_captures_prove() -> None:
    for profile in PROFILES:
        prove(profile, captures_in(CAPTURES), CAPTURES)


@pytest.mark.parametrize(("source", "is_enough"), [("physical", True), ("emulated", False)])
def test_tested_needs_a_capture_of_a_physical_device_that_replays(source: str, *, is_enough: bool) -> None:
    seen = read_capture(CAPTURES / "dash-camera.json").model_copy(update={"source": source})
    claiming = find_profile(PROFILES, "dash-camera").model_copy(update={"status": "tested"})
    if is_enough:
        prove(claiming, [seen], "here")
        wrong = seen.model_copy(update={"expect": Expected(profile="dash-camera", footage=1, other=1)})
        seen = wrong
    with pytest.raises(UnprovenProfileError, match="experimental, reported"):
        prove(claiming, [seen], "here")


def test_a_capture_holds_nothing_of_what_the_files_hold_and_no_number_of_a_person(tmp_path: Path) -> None:
    root = fill(
        tmp_path / "card", [*LAYOUTS["enforcement-storage"], "060123/notes of 060123.txt", "张三/a.mp4"]
    )
    (root / "LOG/20261123.txt").write_text("the secret of officer 060123")
    text = capture_of(root, serial="X1A0001").text()
    for hidden in ("secret", "060123", "X1A0001", "张三", "ftyp"):
        assert hidden not in text
    assert "20261123081500_0001.mp4" in text


def test_one_number_has_one_stand_in_throughout(tmp_path: Path) -> None:
    root = fill(tmp_path / "card", [*LAYOUTS["enforcement-storage"], "060123/a.txt", "060124/a.txt"])
    seen = capture_of(root, serial="X1A0001")
    result = replay(find_profile(PROFILES, "enforcement-storage"), seen)
    assert {one.facts.serial for one in result.footage} == {seen.serial}
    officers = {one.facts.officer_number for one in result.footage}
    folders = {entry.path for entry in seen.entries if re.fullmatch(r"[0-9]{6}/", entry.path)}
    assert len(officers) == 1
    assert len(folders) == 2
    assert f"{officers.pop()}/" in folders


@given(st.sets(st.text("0123456789ABCXYZabc", min_size=4, max_size=12), min_size=1))
def test_stand_ins_keep_the_shape_and_never_meet(texts: set[str]) -> None:
    stand_ins = StandIns(KEY)
    made = {text: stand_ins.of(text) for text in texts}
    assert len(set(made.values())) == len(texts)
    for text, other in made.items():
        assert [c.isdigit() for c in text] == [c.isdigit() for c in other]
        assert [c.isupper() for c in text] == [c.isupper() for c in other]


@given(st.lists(st.tuples(st.text(max_size=40), st.none() | st.just(NOW)), max_size=20))
def test_any_names_at_all_have_stand_ins(given_paths: list[tuple[str, datetime | None]]) -> None:
    spelled = StandIns(KEY).paths(given_paths)
    assert set(spelled) == {path for path, _ in given_paths}
    for path, other in spelled.items():
        assert len(other) == len(path)
        assert other.count("/") == path.count("/")


def test_nobody_stays_nobody() -> None:
    assert StandIns(KEY).of("000000") == "000000"


def test_at_most_a_few_first_bytes_are_read_and_links_are_not_followed(tmp_path: Path) -> None:
    root = fill(tmp_path / "card", [f"DCIM/{n}.mp4" for n in range(30)])
    (root / "DCIM/x.mp4").symlink_to("/etc/passwd")
    seen = capture_of(root)
    assert sum(bool(entry.magic) for entry in seen.entries) <= 8
    assert [entry.refused for entry in seen.entries if entry.refused] == ["symlink"]


@given(st.binary(max_size=HEAD))
def test_any_first_bytes_have_a_name(head: bytes) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,20}", magic_of(head))


def test_a_capture_reads_back(tmp_path: Path) -> None:
    seen = capture_of(fill(tmp_path / "card", UNKNOWN))
    (tmp_path / "c.json").write_text(seen.text())
    assert read_capture(tmp_path / "c.json") == seen


@pytest.mark.parametrize("text", ["", "{", "[]", '{"capture": 2}', '{"source": "mine", "entries": 3}'])
def test_a_file_that_is_no_capture_is_refused_with_the_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CaptureError, match="cannot be used"):
        read_capture(tmp_path / "c.json")


def test_a_capture_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        read_capture(tmp_path / "none.json")


def sysfs_with(root: Path, vendor: str, host: str, machine: str) -> Path:
    """The kernel's tree as it shows one USB disk, and the folder's own device number on it."""
    device = root.stat().st_dev
    usb = root / f"sys/devices/{host}/usb1/1-2"
    disk = usb / "1-2:1.0/host0/block/sdz"
    disk.mkdir(parents=True)
    for name, text in {"idVendor": vendor, "idProduct": "0001", "serial": "S1", "product": "Cam"}.items():
        (usb / name).write_text(text + "\n")
    (root / "sys/dev/block").mkdir(parents=True)
    (root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").symlink_to(disk)
    (root / "sys/class/dmi/id").mkdir(parents=True)
    (root / "sys/class/dmi/id/sys_vendor").write_text(machine)
    return root / "sys"


@pytest.mark.parametrize(
    ("vendor", "host", "machine", "is_physical"),
    [
        ("04a9", "pci0000:00/0000:00:14.0", "Maker", True),
        ("04a9", "platform/dummy_hcd.0", "Maker", False),
        ("46f4", "pci0000:00/0000:00:14.0", "Maker", False),
        ("04a9", "pci0000:00/0000:00:14.0", "QEMU", False),
    ],
)
def test_the_kernel_says_whether_a_device_is_physical(
    tmp_path: Path, vendor: str, host: str, machine: str, *, is_physical: bool
) -> None:
    origin = origin_of(tmp_path, sysfs_with(tmp_path, vendor, host, machine))
    assert (origin.is_physical, origin.vendor_id, origin.serial, origin.model) == (
        is_physical,
        vendor,
        "S1",
        "Cam",
    )


def test_a_plain_folder_is_never_physical(tmp_path: Path) -> None:
    assert json.loads(capture_of(tmp_path, origin=origin_of(tmp_path)).text())["source"] == "emulated"
