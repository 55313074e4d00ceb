"""A hostile card: an ext4 image, mounted as a card is, with everything on it that a card should not have."""

# ruff: noqa: PTH102, PTH123, PTH211  # names here are bytes that no Path can hold

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulation.card import make_ext4, mounted, run

from core.digest import sha256_hex
from devices.mount import Mount
from devices.tree import Entry, Kind, Refusal, Tree
from devices.volume import mount_image

LONG = b"n" * 255
NAMES = (
    b"plain.mp4", b"\xff\xfe.mp4", "执法.mp4".encode("gbk"), LONG, b"back\\..\\slash.mp4", b"new\nline.mp4", b"...",
    b"-rf", b"%2e%2e%2fetc", "\u202e4pm.exe".encode(), b" leading space",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Mount]:
    """The card, mounted read-only through the ladder."""
    (tmp_path / "content").mkdir()
    image = make_ext4(tmp_path / "hostile.img", tmp_path / "content")
    with mounted(image) as root:
        fill(os.fsencode(root))
    mount = mount_image(image, tmp_path / "mounts", "hostile card")
    yield mount
    mount.close()


def fill(root: bytes) -> None:
    os.mkdir(root + b"/DCIM")
    for name in NAMES:
        with open(root + b"/DCIM/" + name, "wb") as file:
            file.write(name * 10)
    open(root + b"/DCIM/empty.mp4", "wb").close()
    os.symlink(b"/etc/shadow", root + b"/DCIM/link.mp4")
    os.symlink(b"/etc", root + b"/DCIM/linked-folder")
    os.symlink(b"loop", root + b"/DCIM/loop")
    os.mkfifo(root + b"/DCIM/pipe.mp4")
    os.mknod(root + b"/DCIM/zero.mp4", 0o20666, os.makedev(1, 5))
    os.mknod(root + b"/DCIM/disk.mp4", 0o60666, os.makedev(7, 0))
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root + b"/DCIM")
        listener.bind("sock.mp4")
        os.chdir("/")
    deep = root
    for _ in range(40):
        deep += b"/d"
        os.mkdir(deep)
    open(deep + b"/too-deep.mp4", "wb").close()


def by_path(entries: list[Entry]) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in entries}


def test_every_entry_is_a_file_or_refused_with_its_reason(hostile: Mount) -> None:
    tree = Tree(hostile.root)
    entries = by_path(list(tree.walk()))
    refused = {e.path: e.reason for e in entries.values() if e.kind is Kind.REFUSED}
    assert refused == {
        b"DCIM/link.mp4": Refusal.SYMLINK,
        b"DCIM/linked-folder": Refusal.SYMLINK,
        b"DCIM/loop": Refusal.SYMLINK,
        b"DCIM/pipe.mp4": Refusal.FIFO,
        b"DCIM/zero.mp4": Refusal.DEVICE,
        b"DCIM/disk.mp4": Refusal.DEVICE,
        b"DCIM/sock.mp4": Refusal.SOCKET,
        b"/".join([b"d"] * 32): Refusal.TOO_DEEP,
    }
    files = {e.path for e in entries.values() if e.kind is Kind.FILE}
    assert files == {b"DCIM/" + name for name in NAMES} | {b"DCIM/empty.mp4"}
    assert not any(e.path.startswith(b"DCIM/linked-folder/") for e in entries.values())
    tree.close()


def test_files_with_odd_names_are_read_byte_for_byte(hostile: Mount) -> None:
    tree = Tree(hostile.root)
    for name in NAMES:
        descriptor = tree.open(b"DCIM/" + name)
        with open(descriptor, "rb") as file:
            assert sha256_hex(file.read()) == sha256_hex(name * 10)
    tree.close()


@pytest.mark.parametrize(
    "path",
    [
        b"DCIM/link.mp4", b"DCIM/linked-folder/passwd", b"DCIM/pipe.mp4", b"DCIM/zero.mp4", b"DCIM/disk.mp4",
        b"DCIM/sock.mp4", b"../etc/passwd", b"DCIM/../../etc/passwd", b"/etc/passwd", b"", b"DCIM//plain.mp4", b"DCIM",
    ],
)  # fmt: skip
def test_what_is_not_a_plain_file_below_the_root_is_never_opened(hostile: Mount, path: bytes) -> None:
    tree = Tree(hostile.root)
    with pytest.raises(OSError, match=r".+"):
        tree.open(path)
    tree.close()


def test_the_card_is_mounted_so_that_nothing_on_it_can_act(hostile: Mount) -> None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    options = next(line.split()[3] for line in mounts if line.split()[1] == str(hostile.root))
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))


def test_a_walk_ends_at_the_limit_and_says_so(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02d}").touch()
    entries = list(Tree(tmp_path, max_entries=10).walk())
    assert len(entries) == 11
    assert entries[-1].reason is Refusal.TOO_MANY


def test_another_file_system_inside_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "card/inner").mkdir(parents=True)
    image = make_ext4(tmp_path / "inner.img", tmp_path / "content")
    mount = mount_image(image, tmp_path / "card", "inner card")
    entries = by_path(list(Tree(tmp_path / "card").walk()))
    mount.close()
    assert entries[os.fsencode(mount.root.name)].reason is Refusal.OTHER_FILE_SYSTEM


def test_a_time_that_no_calendar_has_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (2**33, 2**33))
    (found,) = Tree(tmp_path).walk()
    assert found.modified_at is not None
    assert found.modified_at.year == 2242


def test_a_folder_beyond_the_limit_is_not_looked_at_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (tmp_path / f"{number:02d}").touch()
    looked = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: (looked.append(a), real(*a, **k))[1])
    entries = list(Tree(tmp_path, max_entries=10).walk())
    monkeypatch.undo()
    assert entries[-1].reason is Refusal.TOO_MANY
    assert len([a for a in looked if isinstance(a[0], bytes)]) == 11


def test_of_two_entries_with_one_name_the_second_is_refused_and_named_apart(tmp_path: Path) -> None:
    (tmp_path / "content/DCIM").mkdir(parents=True)
    for name in "AB":
        (tmp_path / f"content/DCIM/{name}.MP4").write_bytes(name.encode())
    image = tmp_path / "twins.img"
    image.write_bytes(bytes(8 << 20))
    plain = "^metadata_csum,^dir_index"
    run("mkfs.ext4", "-q", "-O", plain, "-d", str(tmp_path / "content"), str(image))
    image.write_bytes(image.read_bytes().replace(b"\x05\x01B.MP4", b"\x05\x01A.MP4"))  # length, type, name
    mount = mount_image(image, tmp_path / "mounts", "twins")
    found = [entry for entry in Tree(mount.root).walk() if b"/A" in entry.path]
    mount.close()
    assert [(entry.shown_path, entry.reason) for entry in found] == [
        ("DCIM/A.MP4", None),
        ("DCIM/A.MP4 (2)", Refusal.SAME_NAME),
    ]


def test_names_that_differ_in_their_encoding_alone_are_spelled_apart(tmp_path: Path) -> None:
    name = "执法"
    for folder in (name.encode(), name.encode("gbk")):
        below = os.fsencode(tmp_path) + b"/" + folder
        os.mkdir(below)
        open(below + b"/a.mp4", "wb").close()
    shown = sorted(entry.shown_path for entry in Tree(tmp_path).walk() if entry.kind is Kind.FILE)
    assert shown == ["\\xd6\\xb4\\xb7\\xa8/a.mp4", "执法/a.mp4"]
