"""The ladder on real images: what the kernel can, what FUSE can, and what neither can."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation.card import make_exfat, make_ext4, make_fat32, run

from devices.block import attached, probe
from devices.error import DamagedFileSystemError, NotARecorderFileSystemError, NotMountableError
from devices.mount import LADDER, OWN_PREFIX, mount_read_only, not_mountable, sweep
from devices.volume import mount_image

MAKERS = {"exfat": make_exfat, "vfat": make_fat32, "ext4": make_ext4}


@pytest.fixture(autouse=True)
def _no_mount_stays(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path / "mounts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder/DCIM").mkdir(parents=True)
    (tmp_path / "folder/DCIM/a.mp4").write_bytes(b"footage")
    return tmp_path / "folder"


def kernel_mounts(kind: str) -> bool:
    return f"\t{kind}\n" in Path("/proc/filesystems").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", MAKERS)
def test_a_card_is_mounted_by_the_first_rung_that_can_and_says_by_which(
    tmp_path: Path, folder: Path, kind: str
) -> None:
    image = MAKERS[kind](tmp_path / "card.img", folder, label="CARD")
    before = image.read_bytes()
    (found,) = probe(image)
    assert (found.kind, found.label) == (kind, "CARD")
    programs = {"exfat-fuse": "mount.exfat-fuse", "kernel": "mount"}
    can = [
        rung.transport for rung in LADDER[kind]
        if shutil.which(programs[rung.transport]) and (rung.transport != "kernel" or kernel_mounts(kind))
    ]  # fmt: skip
    if not can:
        with pytest.raises(NotMountableError, match=r"card holds .*vfat.*kernel: ."):
            mount_image(image, tmp_path / "mounts", "card")
        return
    mount = mount_image(image, tmp_path / "mounts", "card")
    assert mount.transport == can[0]
    assert [p.read_bytes() for p in mount.root.rglob("*") if p.is_file()] == [b"footage"]
    with pytest.raises(OSError, match=r"Read-only|not permitted|denied"):
        (mount.root / "new").write_bytes(b"")
    mount.close()
    mount.close()
    assert list((tmp_path / "mounts").iterdir()) == []
    assert image.read_bytes() == before


def test_a_partition_in_a_partition_table_is_found(tmp_path: Path, folder: Path) -> None:
    inner = make_ext4(tmp_path / "inner.img", folder)
    image = tmp_path / "disk.img"
    start, size = 2048, inner.stat().st_size // 512
    entry = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + start.to_bytes(4, "little") + size.to_bytes(4, "little")
    table = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    image.write_bytes(table.ljust(start * 512, b"\0") + inner.read_bytes())
    (found,) = probe(image)
    assert (found.kind, found.offset, found.length) == ("ext4", start * 512, size * 512)
    mount = mount_image(image, tmp_path / "mounts", "disk")
    assert (mount.root / "DCIM/a.mp4").read_bytes() == b"footage"
    mount.close()


def test_a_file_system_that_no_recorder_uses_is_not_given_to_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(NotARecorderFileSystemError, match=r"btrfs.*allowed: exfat, vfat"):
        mount_read_only(Path("/dev/loop0"), "btrfs", tmp_path, "a stick")
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_a_file_system_is_said(tmp_path: Path) -> None:
    (tmp_path / "blank.img").write_bytes(bytes(1 << 20))
    with pytest.raises(NotMountableError, match="no file system was found"):
        mount_image(tmp_path / "blank.img", tmp_path / "mounts", "a blank card")


def test_a_broken_file_system_is_an_error_that_names_the_card(tmp_path: Path, folder: Path) -> None:
    image = make_exfat(tmp_path / "card.img", folder)
    with image.open("r+b") as file:
        file.seek(24 * 512)
        file.write(bytes(image.stat().st_size - 24 * 512))
    with pytest.raises(NotMountableError, match="recorder 7"):
        mount_image(image, tmp_path / "mounts", "recorder 7")
    assert list((tmp_path / "mounts").iterdir()) == []


def test_tables_that_a_driver_of_the_kernel_refuses_are_damage_and_not_a_missing_driver(
    tmp_path: Path, folder: Path
) -> None:
    image = make_ext4(tmp_path / "card.img", folder)
    with image.open("r+b") as file:
        file.seek(4096)  # the group descriptors (ext4: the block behind the superblock's)
        file.write(bytes(4096))
        file.seek(1024 + 0x28)  # inodes per group: none
        file.write(bytes(4))
    with pytest.raises(DamagedFileSystemError, match=r"recorder 8 .*ext4.*do not format"):
        mount_image(image, tmp_path / "mounts", "recorder 8")
    assert isinstance(not_mountable("a card", "ext4", "it said so"), DamagedFileSystemError)
    assert not isinstance(not_mountable("a card", "no-such-driver", "it said so"), DamagedFileSystemError)


def test_a_loop_device_that_is_not_mounted_goes_away_by_itself(tmp_path: Path, folder: Path) -> None:
    image = make_ext4(tmp_path / "card.img", folder)
    (part,) = probe(image)
    with attached(image, part) as device:
        assert run("blockdev", "--getro", str(device)) == "1"
        assert str(image) in run("losetup", "--list", "--noheadings", "--output", "BACK-FILE")
    assert str(image) not in run("losetup", "--list", "--noheadings", "--output", "BACK-FILE")


def test_what_a_killed_process_left_mounted_is_swept(tmp_path: Path, folder: Path) -> None:
    mounts = tmp_path / "mounts"
    mount = mount_image(make_exfat(tmp_path / "a.img", folder), mounts, "card")
    other = mounts / "sda1"
    other.mkdir()
    assert mount.root.name.startswith(OWN_PREFIX)
    sweep(mounts)
    assert list(mounts.iterdir()) == [other]
    assert str(mounts) not in Path("/proc/self/mounts").read_text(encoding="utf-8")


def test_a_fuse_driver_that_died_leaves_a_mount_that_is_swept(tmp_path: Path, folder: Path) -> None:
    image = make_exfat(tmp_path / "a.img", folder)
    mounts = tmp_path / "mounts"
    mount = mount_image(image, mounts, "card")
    if mount.transport != "exfat-fuse":
        mount.close()
        pytest.skip("this kernel mounts exFAT itself")
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], check=True, capture_output=True, text=True
    ).stdout
    pid = next(
        line.split()[0] for line in listed.splitlines() if str(mount.root) in line and "exfat-fuse" in line
    )
    run("kill", "-9", pid)
    sweep(mounts)
    assert list(mounts.iterdir()) == []
