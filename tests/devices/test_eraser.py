"""The hand that erases, on a real loop device: what it compares, what it leaves, and that the card is closed again."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from emulation.card import make_ext4, run
from support.loop import attach, detach

from devices.eraser import (
    Content,
    Fate,
    MountedCard,
    NotClosedError,
    NotWritableError,
    erase,
    find_card,
    writable,
)
from devices.mount import mount_read_only, set_read_only
from devices.tree import Tree

FILM = b"footage" * 40_000
PATH = b"DCIM/a.mp4"


def content(raw: bytes) -> Content:
    return Content(len(raw), hashlib.sha256(raw).hexdigest())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder/DCIM").mkdir(parents=True)
    (tmp_path / "folder" / os.fsdecode(PATH)).write_bytes(FILM)
    (tmp_path / "folder/DCIM/link.mp4").symlink_to("/etc/hostname")
    return tmp_path / "folder"


@pytest.fixture
def mounted(tmp_path: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """A card as the dock has it: write-protected and mounted; its device and its tree."""
    loop = attach(make_ext4(tmp_path / "card.img", folder))
    set_read_only(loop)
    mount = mount_read_only(loop, "ext4", tmp_path / "mounts", "card")
    yield loop, mount.root
    mount.close()
    detach(loop)


@pytest.fixture
def tree(folder: Path) -> Iterator[Tree]:
    made = Tree(folder)
    yield made
    made.close()


def test_a_file_that_is_what_was_named_goes(tree: Tree, folder: Path) -> None:
    assert erase(tree, PATH, content(FILM)) is Fate.ERASED
    assert not (folder / os.fsdecode(PATH)).exists()


@pytest.mark.parametrize("other", [FILM + b"x", FILM[:-1] + b"x", b""])
def test_one_that_is_not_stays(tree: Tree, folder: Path, other: bytes) -> None:
    assert erase(tree, PATH, content(other)) is Fate.DIFFERS
    assert (folder / os.fsdecode(PATH)).read_bytes() == FILM


@pytest.mark.parametrize(
    ("path", "fate"),
    [
        (b"DCIM/none.mp4", Fate.NOT_THERE),
        (b"DCIM/link.mp4", Fate.UNREADABLE),
        (b"DCIM", Fate.UNREADABLE),
        (b"../folder/DCIM/a.mp4", Fate.UNREADABLE),
        (b"/etc/hostname", Fate.UNREADABLE),
        (b"", Fate.UNREADABLE),
        (b"DCIM//a.mp4", Fate.UNREADABLE),
    ],
)
def test_no_name_leads_anywhere_else(tree: Tree, folder: Path, path: bytes, fate: Fate) -> None:
    assert erase(tree, path, content(FILM)) is fate
    assert (folder / os.fsdecode(PATH)).exists()


def test_another_file_that_took_the_name_meanwhile_stays(
    tree: Tree, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = tree.open_folder_of

    def replaced(path: bytes) -> int:
        (folder / "new").write_bytes(b"another")
        (folder / "new").rename(folder / os.fsdecode(PATH))
        return looked(path)

    monkeypatch.setattr(tree, "open_folder_of", replaced)
    assert erase(tree, PATH, content(FILM)) is Fate.DIFFERS
    assert (folder / os.fsdecode(PATH)).read_bytes() == b"another"


def test_only_what_the_dock_has_mounted_is_a_card(mounted: tuple[Path, Path], tmp_path: Path) -> None:
    loop, root = mounted
    assert find_card(loop.name, tmp_path / "mounts") == MountedCard(loop.name, root, "ext4")
    for name, mounts in (
        (loop.name, tmp_path),
        ("loop-none", tmp_path / "mounts"),
        ("null", tmp_path / "mounts"),
    ):
        with pytest.raises(NotWritableError):
            find_card(name, mounts)


def test_it_is_writable_in_one_namespace_alone_and_closed_afterwards(
    mounted: tuple[Path, Path], tmp_path: Path
) -> None:
    loop, root = mounted
    script = (
        "import sys; from pathlib import Path; from devices.eraser import find_card, writable\n"
        "from ingest.erase_unit import own_namespace\n"
        "own_namespace(); card = find_card(sys.argv[1], Path(sys.argv[2]))\n"
        "with writable(card) as tree:\n"
        "    print('open', flush=True); sys.stdin.readline()\n"
        "    (card.root / 'DCIM/a.mp4').unlink()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, loop.name, str(tmp_path / "mounts")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as eraser:  # fmt: skip
        assert eraser.stdout is not None
        assert eraser.stdin is not None
        assert eraser.stdout.readline() == "open\n"
        with pytest.raises(OSError, match="Read-only"):  # for us, while it is open for the eraser
            (root / "DCIM/new").write_bytes(b"")
        eraser.stdin.write("\n")
        eraser.stdin.close()
        assert eraser.wait(60) == 0
    assert run("blockdev", "--getro", str(loop)) == "1"
    with pytest.raises(OSError, match="Read-only"):
        (root / "DCIM/new").write_bytes(b"")
    assert not (root / os.fsdecode(PATH)).exists()


def test_an_unfinished_journal_and_a_strange_file_system_are_not_written_to(
    tmp_path: Path, folder: Path
) -> None:
    image = make_ext4(tmp_path / "card.img", folder)
    with image.open("r+b") as card:
        card.seek(1024 + 0x60)
        flags = card.read(1)[0]
        card.seek(1024 + 0x60)
        card.write(bytes([flags | 0x04]))  # INCOMPAT_RECOVER
    loop = attach(image)
    try:
        for kind, why in (("ext4", "journal was not finished"), ("ntfs", "ntfs")):
            with (
                pytest.raises(NotWritableError, match=why),
                writable(MountedCard(loop.name, tmp_path, kind)),
            ):
                pass
    finally:
        detach(loop)


def test_a_file_that_nobody_asks_for_any_more_stays(tree: Tree, folder: Path) -> None:
    assert erase(tree, PATH, content(FILM), lambda: False) is Fate.NOT_ASKED
    assert (folder / os.fsdecode(PATH)).exists()


def test_a_medium_that_fails_once_the_name_was_taken_away_is_not_said_to_have_kept_it(
    tree: Tree, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_given: object, **_how: object) -> NoReturn:
        raise OSError(errno.EIO, "the medium")

    taken = os.unlink

    def fails_afterwards(name: bytes, *, dir_fd: int) -> None:
        taken(name, dir_fd=dir_fd)
        monkeypatch.setattr("devices.eraser.os.stat", failing)

    monkeypatch.setattr("devices.eraser.os.unlink", fails_afterwards)
    assert erase(tree, PATH, content(FILM)) is Fate.STILL_THERE
    monkeypatch.undo()
    assert not (folder / os.fsdecode(PATH)).exists()


def test_a_card_that_cannot_be_closed_again_is_said_to_be_open(
    mounted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, root = mounted
    ran = subprocess.run

    def hung(argv: list[str], **how: Any) -> Any:
        if "remount,ro,nosuid,nodev,noexec" in argv:
            raise subprocess.TimeoutExpired(argv, 1)
        return ran(argv, **how)

    with monkeypatch.context() as once:
        once.setattr("devices.eraser.subprocess.run", hung)
        with pytest.raises(NotClosedError, match="timed out"), writable(MountedCard(loop.name, root, "ext4")):
            pass
    assert run("blockdev", "--getro", str(loop)) == "1"  # what could be closed is
