from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.disk import Disk, NoMountError, room, without_flags

from vault.store.worm import Flag, NoWormError, flags, is_immutable, put_on, take_off


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    with room() as place:
        try:
            made = Disk(request.param, place / "disk.img", place / "disk")
        except NoMountError as cause:
            pytest.skip(f"loop mounts are not permitted here: {cause}")
        yield made.place
        made.unmount()


def test_an_immutable_file_can_be_changed_by_nobody(disk: Path) -> None:
    path = disk / "object"
    path.write_bytes(b"sealed")
    assert put_on(path, Flag.IMMUTABLE) is True
    assert put_on(path, Flag.IMMUTABLE) is False
    assert is_immutable(path)
    for harm in (
        path.unlink,
        lambda: path.write_bytes(b"x"),
        lambda: path.rename(disk / "other"),
        lambda: (disk / "second").hardlink_to(path),
        lambda: path.chmod(0o777),
    ):
        with pytest.raises(PermissionError):
            harm()
    assert path.read_bytes() == b"sealed"
    assert take_off(path, Flag.IMMUTABLE) is True
    assert take_off(path, Flag.IMMUTABLE) is False
    path.unlink()


def test_an_append_only_directory_takes_names_and_lets_none_go(disk: Path) -> None:
    (disk / "objects" / "0a").mkdir(parents=True)
    put_on(disk / "objects", Flag.APPEND_ONLY)
    (disk / "objects" / "0b").mkdir()
    (disk / "objects" / "0a" / "x").touch()
    (disk / "objects" / "0a" / "x").unlink()  # a directory inside is not held
    with pytest.raises(PermissionError):
        (disk / "objects" / "0a").rename(disk / "elsewhere")
    with pytest.raises(PermissionError):
        (disk / "objects" / "0b").rmdir()
    assert flags(disk / "objects") == Flag.APPEND_ONLY
    take_off(disk / "objects", Flag.APPEND_ONLY)


def test_flags_that_are_not_ours_stay(disk: Path) -> None:
    path = disk / "object"
    path.touch()
    put_on(path, Flag.APPEND_ONLY)
    put_on(path, Flag.IMMUTABLE)
    assert flags(path) == Flag.APPEND_ONLY | Flag.IMMUTABLE
    take_off(path, Flag.IMMUTABLE)
    assert flags(path) == Flag.APPEND_ONLY
    take_off(path, Flag.APPEND_ONLY)


def test_a_file_system_without_flags_says_so(tmp_path: Path) -> None:
    with without_flags(tmp_path / "ram") as place:
        path = place / "object"
        path.touch()
        assert flags(path) is None
        assert not is_immutable(path)
        assert take_off(path, Flag.IMMUTABLE) is False
        with pytest.raises(NoWormError, match="its file system has no such flag"):
            put_on(path, Flag.IMMUTABLE)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic"):
        put_on(tmp_path / "link", Flag.IMMUTABLE)
    assert not is_immutable(tmp_path / "file")
