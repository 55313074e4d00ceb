from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from devices.error import DepartedError
from devices.mass_storage import MassStorage, Medium, Presence
from devices.profile import FOLDER, find_profile, load_profiles
from devices.recorder import Identity, RefusedFile, SourceFile

ENFORCEMENT = find_profile(load_profiles(), "enforcement-storage")


def open_folder(root: Path, serial: str = "USB1", profile: str = "folder") -> MassStorage:
    chosen = find_profile((*load_profiles(), FOLDER), profile)
    return Medium(root, "folder", Identity(serial=serial), Presence("card")).list().recorder(chosen)


def files(recorder: MassStorage) -> list[SourceFile]:
    return [f for f in recorder.files() if isinstance(f, SourceFile)]


def test_files_carry_what_their_names_say_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for path in (
        "DCIM/20261123/X1A0001060123_20261123080100_0001.mp4", "LOG.TXT", ".Trash-0/files/old/a.mp4",
        "System Volume Information/IndexerVolumeGuid", "System Volume Information/deep/file", "DCIM/._small.mp4",
        "._x/film.mp4",
    ):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    recorder = open_folder(tmp_path, profile="enforcement-storage")
    trashed, below, film, log = sorted(files(recorder), key=lambda file: file.path)
    assert [f.shown_path for f in (trashed, below)] == [".Trash-0/files/old/a.mp4", "._x/film.mp4"]
    assert recorder.ignored == 3
    assert (log.shown_path, log.media, log.serial) == ("LOG.TXT", "other", None)
    assert (film.serial, film.officer_number, film.part) == ("X1A0001", "060123", 1)
    assert recorder.identity.serial == "X1A0001"
    recorder.close()


def test_names_that_disagree_leave_the_serial_that_usb_says(tmp_path: Path) -> None:
    (tmp_path / "20261123").mkdir()
    for serial in ("X1A0001", "X1A0002"):
        (tmp_path / f"20261123/{serial}060123_20261123080100_0001.mp4").touch()
    assert open_folder(tmp_path, profile="enforcement-storage").identity.serial == "USB1"


def test_a_name_in_gbk_is_shown_and_its_bytes_are_kept(tmp_path: Path) -> None:
    raw = "现场检查.mp4".encode("gbk")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(b"film")
    recorder = open_folder(tmp_path)
    (file,) = files(recorder)
    assert (file.name, file.path, file.name_is_exact, file.media) == ("现场检查.mp4", raw, False, "video")
    stream = recorder.open(file)
    room = memoryview(bytearray(10))
    assert bytes(room[: stream.readinto(room)]) == b"film"
    assert stream.readinto(room) == 0
    stream.close()
    recorder.close()


def test_an_unreadable_folder_is_reported_and_the_rest_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    listed = list(open_folder(tmp_path).files())
    assert [(type(f), f.shown_path) for f in listed] == [(SourceFile, "a"), (RefusedFile, "link")]


@pytest.mark.parametrize("size", [5, 20])
def test_a_file_of_another_size_than_was_listed_is_not_taken_for_it(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    recorder = open_folder(tmp_path)
    (file,) = files(recorder)
    (tmp_path / "a").write_bytes(bytes(size))
    with pytest.raises(OSError, match="changed_while_reading"):
        recorder.open(file)


def test_a_file_that_ends_too_soon_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    recorder = open_folder(tmp_path)
    stream = recorder.open(files(recorder)[0])
    os.truncate(tmp_path / "a", 4)
    room = memoryview(bytearray(10))
    assert stream.readinto(room) == 4
    with pytest.raises(OSError, match="changed_while_reading") as caught:
        stream.readinto(room)
    assert caught.value.errno == errno.EIO
    stream.close()


def test_a_recorder_that_left_gives_nothing_more_though_its_tree_still_answers(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    presence = Presence("card 7")
    medium = Medium(tmp_path, "folder", Identity(), presence)
    recorder = medium.list().recorder(FOLDER)
    file = files(recorder)[0]
    stream = recorder.open(file)
    presence.depart()
    assert not recorder.present()
    assert recorder.has_departed(0)
    for attempt in (
        lambda: stream.readinto(memoryview(bytearray(1))),
        lambda: recorder.open(file),
        medium.list,
    ):
        with pytest.raises(DepartedError, match="card 7"):
            attempt()
    stream.close()


def test_a_file_replaced_by_a_link_after_the_listing_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"film")
    recorder = open_folder(tmp_path)
    file = files(recorder)[0]
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match=r".+") as caught:
        recorder.open(file)
    assert caught.value.errno == errno.ELOOP
