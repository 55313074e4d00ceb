"""The proof that nothing was written, on real loop devices: it holds when nothing was, and breaks when anything was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation.card import make_exfat, make_ext4, make_fat32, run
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loop import attach, detach

from devices.mount import OWN_PREFIX, mount_read_only, sweep
from devices.structure import MOST_OF_ONE, file_system_extents, partition_extents
from devices.unwritten import Measurement, Method, Untouched, compare, digest_tables, is_kernel_name, measure
from devices.volume import mount_image

MAKERS = {"exfat": make_exfat, "vfat": make_fat32, "ext4": make_ext4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder/DCIM").mkdir(parents=True)
    (tmp_path / "folder/DCIM/a.mp4").write_bytes(b"footage" * 20_000)
    return tmp_path / "folder"


@pytest.fixture
def loops() -> Iterator[list[Path]]:
    made: list[Path] = []
    yield made
    for loop in made:
        detach(loop)


def plugged(loops: list[Path], image: Path) -> Path:
    loops.append(attach(image))
    return loops[-1]


@pytest.mark.parametrize("kind", MAKERS)
def test_two_looks_at_a_card_that_nobody_wrote_to_are_equal(
    tmp_path: Path, folder: Path, loops: list[Path], kind: str
) -> None:
    device = plugged(loops, MAKERS[kind](tmp_path / "card.img", folder))
    before, after = measure(device, kind), measure(device, kind)
    shown = compare(before, after)
    assert shown is not None
    assert (shown.method, shown.sectors_written, shown.holds) == ("write_counter+tables", 0, True)
    assert 0 < (shown.tables_bytes or 0) < 4 * MOST_OF_ONE


@pytest.mark.parametrize("kind", MAKERS)
def test_one_byte_in_a_table_breaks_both_proofs(
    tmp_path: Path, folder: Path, loops: list[Path], kind: str
) -> None:
    image = MAKERS[kind](tmp_path / "card.img", folder)
    device = plugged(loops, image)
    tables = file_system_extents(kind, lambda at, n: image.read_bytes()[at : at + n], image.stat().st_size)
    before = measure(device, kind)
    for extent in tables:
        with device.open("r+b", buffering=0) as card:
            card.seek(extent.offset)
            first = card.read(512)
            card.seek(extent.offset)
            card.write(bytes([first[0] ^ 1]) + first[1:])
            os.fsync(card.fileno())
            after = measure(device, kind)
            card.seek(extent.offset)
            card.write(first)
            os.fsync(card.fileno())
        shown = compare(before, after)
        assert shown is not None
        assert not shown.holds
        assert shown.tables_sha256_before != shown.tables_sha256_after
        assert (shown.sectors_written or 0) > 0
    put_back = compare(before, measure(device, kind))
    assert put_back is not None
    assert put_back.tables_sha256_before == put_back.tables_sha256_after
    assert not put_back.holds  # the counter does not forget


def test_a_mounted_card_proves_itself_while_it_is_mounted(tmp_path: Path, folder: Path) -> None:
    image = make_exfat(tmp_path / "card.img", folder)
    mount = mount_image(image, tmp_path / "mounts", "card")
    try:
        assert (mount.root / "DCIM/a.mp4").read_bytes()
        shown = mount.untouched()
        assert shown is not None
        assert shown.holds
    finally:
        mount.close()
    gone = mount.untouched()
    assert gone is None or not gone.holds


def test_a_driver_that_writes_is_caught(tmp_path: Path, folder: Path, loops: list[Path]) -> None:
    device = plugged(loops, make_ext4(tmp_path / "card.img", folder))
    before = measure(device, "ext4")
    (tmp_path / "rw").mkdir()
    run("mount", "-t", "ext4", str(device), str(tmp_path / "rw"))  # counts the mount in the superblock
    run("umount", str(tmp_path / "rw"))
    shown = compare(before, measure(device, "ext4"))
    assert shown is not None
    assert not shown.holds


@pytest.fixture
def _swept(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path / "mounts")


@pytest.mark.usefixtures("_swept")
def test_a_card_with_an_unfinished_journal_is_read_and_not_mended(
    tmp_path: Path, folder: Path, loops: list[Path]
) -> None:
    image = make_ext4(tmp_path / "card.img", folder)
    loop = plugged(loops, image)
    (tmp_path / "rw").mkdir()
    run("mount", "-t", "ext4", str(loop), str(tmp_path / "rw"))
    (tmp_path / "rw/new").write_bytes(b"x")
    run("sync", "--file-system", str(tmp_path / "rw/new"))
    pulled = tmp_path / "pulled.img"
    pulled.write_bytes(image.read_bytes())  # the recorder's battery ended here
    run("umount", str(tmp_path / "rw"))
    assert "needs_recovery" in run("dumpe2fs", "-h", str(pulled))
    mount = mount_image(pulled, tmp_path / "mounts", "card")
    shown = mount.untouched()
    assert (mount.root / "DCIM/a.mp4").read_bytes() == (folder / "DCIM/a.mp4").read_bytes()
    mount.close()
    assert shown is not None
    assert shown.holds
    assert "needs_recovery" in run("dumpe2fs", "-h", str(pulled))


@pytest.mark.usefixtures("_swept")
def test_a_card_with_its_dirty_flag_set_keeps_it(tmp_path: Path, folder: Path, loops: list[Path]) -> None:
    image = make_exfat(tmp_path / "card.img", folder)
    with image.open("r+b") as card:
        card.seek(106)
        card.write(b"\x02\x00")  # VolumeFlags: VolumeDirty (exFAT 3.1.13.2)
    device = plugged(loops, image)
    mount = mount_read_only(device, "exfat", tmp_path / "mounts", "card")
    assert mount.root.name.startswith(OWN_PREFIX)
    shown = mount.untouched()
    assert (mount.root / "DCIM/a.mp4").exists()
    mount.close()
    assert shown is not None
    assert shown.holds
    assert image.read_bytes()[106] == 2


def test_another_disk_under_the_same_name_shows_nothing(tmp_path: Path, folder: Path) -> None:
    image = make_ext4(tmp_path / "card.img", folder)
    device = attach(image)
    before = measure(device, "ext4")
    detach(device)
    run("losetup", str(device), str(image))
    try:
        assert compare(before, measure(device, "ext4")) is None
    finally:
        detach(device)


def test_a_partition_is_measured_with_the_table_of_its_disk(
    tmp_path: Path, folder: Path, loops: list[Path]
) -> None:
    inner = make_ext4(tmp_path / "inner.img", folder).read_bytes()
    entry = b"\0\0\0\0\x83\0\0\0" + (2048).to_bytes(4, "little") + (len(inner) // 512).to_bytes(4, "little")
    image = tmp_path / "disk.img"
    image.write_bytes((bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(2048 * 512, b"\0") + inner)
    disk = plugged(loops, image)
    run("addpart", str(disk), "1", "2048", str(len(inner) // 512))
    part = disk.with_name(disk.name + "p1")
    if not part.exists():
        major, minor = (
            Path(f"/sys/class/block/{part.name}/dev").read_text(encoding="ascii").strip().split(":")
        )
        run("mknod", str(part), "b", major, minor)
    try:
        before = measure(part, "ext4")
        with disk.open("r+b", buffering=0) as card:
            card.seek(440)
            card.write(b"\1")
            os.fsync(card.fileno())
        shown = compare(before, measure(part, "ext4"))
        assert shown is not None
        assert shown.tables_sha256_before != shown.tables_sha256_after
        assert not shown.holds
    finally:
        run("delpart", str(disk), "1")
        part.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("untouched", "expected"),
    [
        (Untouched(Method.COUNTER, 0), True),
        (Untouched(Method.COUNTER, 8), False),
        (Untouched(Method.COUNTER, None), False),
        (Untouched(Method.COUNTER_AND_TABLES, 0, "a", "a"), True),
        (Untouched(Method.COUNTER_AND_TABLES, 0, "a", "b"), False),
        (Untouched(Method.COUNTER_AND_TABLES, 8, "a", "a"), False),
        (Untouched(Method.COUNTER_AND_TABLES, 0, "a", None), False),
        (Untouched(Method.COUNTER_AND_TABLES, 0), False),
        (Untouched(Method.READ_ONLY_TRANSPORT), True),
        (Untouched("something newer", 0, "a", "a"), False),
    ],
)
def test_it_holds_only_where_everything_measured_says_so(untouched: Untouched, *, expected: bool) -> None:
    assert untouched.holds is expected


def test_without_a_counter_nothing_is_shown() -> None:
    assert compare(Measurement("d", None, "a"), Measurement("d", 0, "a")) is None
    assert compare(None, Measurement("d", 0, "a")) is None


@given(head=st.binary(max_size=4096), kind=st.sampled_from(["vfat", "exfat", "ext4", "ntfs"]))
@settings(max_examples=300)
def test_no_card_can_make_us_read_beyond_it_or_without_bound(head: bytes, kind: str) -> None:
    size = 1 << 30
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return head[offset : offset + length].ljust(min(length, 4096), b"\0")

    for extent in file_system_extents(kind, read, size):
        assert 0 <= extent.offset < extent.offset + extent.length <= size
        assert extent.length <= MOST_OF_ONE
    assert all(length <= MOST_OF_ONE for length in asked)


def test_an_image_shorter_than_any_table_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_bytes(b"x" * 100)
    digest, length = digest_tables(tmp_path / "tiny", "vfat")
    assert (len(digest), length) == (64, 100)
    assert [e.length for e in partition_extents(100)] == [100]


@pytest.mark.parametrize("name", ["../sda", "sda/1", "", "SDA", "a" * 40, "sd a", "sda\n", ".."])
def test_a_name_that_leads_elsewhere_is_no_name(name: str) -> None:
    assert not is_kernel_name(name)
