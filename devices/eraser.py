"""Erasing on a mounted card, file by file: each is read in full and compared before its name goes.

Invariants: the card is writable only inside `writable`, only in the mount namespace of this process, and never over an
unfinished journal; what is mounted read-only for others stays read-only for them. A file goes only when its bytes on
the medium, read past what the kernel remembers of them, have the size and the digest that were named; after `erase`
says ERASED its name is gone from a folder that is on the medium. Nothing is ever formatted. Runs as root in a process
of its own; imports no database, no settings, no log library.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devices.error import DeviceError
from devices.tree import Tree
from devices.unwritten import sectors_written, whole_disk

DEV, MOUNTINFO = Path("/dev"), Path("/proc/self/mountinfo")
CHUNK = 1 << 20
TOOL_S = 90  # a hung medium answers EIO after about 36 s; a program may ask twice
EXT_SUPERBLOCK, EXT_INCOMPAT, EXT_RECOVER = 1024, 0x60, 0x04  # Linux, fs/ext4/ext4.h: INCOMPAT_RECOVER
FAT = ("vfat", "exfat")
WRITABLE = (*FAT, "ext2", "ext3", "ext4")
_OCTAL = re.compile(rb"\\([0-7]{3})")  # how mountinfo spells blanks (proc_pid_mountinfo(5))


class NotWritableError(DeviceError):
    """A card that is not made writable."""

    code = "devices.not_writable"
    sentence = (
        "Nothing is erased on {device}: {why}. All of it is sealed and stays on it; the recorder can be used."
    )


class NotClosedError(DeviceError):
    """A card that could not be made read-only again."""

    code = "devices.not_closed"
    sentence = (
        "{device} could not be made read-only again after erasing ({why}). All of it is sealed; take the recorder "
        "out, and dock it again before it is used."
    )


class Fate(StrEnum):
    """What became of one file."""

    ERASED = "erased"
    DIFFERS = "differs"  # other bytes than were named: never erased
    UNREADABLE = "unreadable"
    NOT_THERE = "not_there"
    STILL_THERE = "still_there"  # not seen to be gone: the medium refused, or failed while it was taken away
    NOT_ASKED = "not_asked"  # whoever asked has gone meanwhile, and would not write down what became of it


@dataclass(frozen=True)
class Content:
    """What a file must hold to be erased."""

    size: int
    sha256: str


@dataclass(frozen=True)
class MountedCard:
    """Where a block device is mounted below the dock's mounts, and with which file system."""

    name: str
    root: Path
    kind: str


def find_card(name: str, mounts: Path, mountinfo: Path = MOUNTINFO) -> MountedCard:
    """The mount of a block device by its kernel name. Raises NotWritableError when the dock has none of it."""
    try:
        number = (DEV / name).stat().st_rdev
    except OSError as cause:
        raise NotWritableError(device=name, why="it is not there any more") from cause
    wanted = b"%d:%d" % (os.major(number), os.minor(number))
    for line in mountinfo.read_bytes().splitlines():
        fields, _, tail = line.partition(b" - ")
        _, _, device, inner, place, *_ = fields.split(b" ")
        root = Path(os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), place)))
        if device == wanted and inner == b"/" and root.parent == mounts.resolve():
            return MountedCard(name, root, os.fsdecode(tail.split(b" ")[0]))
    raise NotWritableError(device=name, why="the dock has not mounted it")


@contextmanager
def writable(card: MountedCard) -> Iterator[Tree]:
    """The card's tree while names can be taken from it. Raises NotWritableError, and NotClosedError on leaving.

    The mount is made writable for this process alone: it must have a mount namespace of its own. On leaving, the file
    system is read-only and the kernel's write protection is on again, also where the card was pulled meanwhile.
    """
    device = DEV / card.name
    disk = DEV / whole_disk(card.name)
    if why := _unfit(device, card.kind):
        raise NotWritableError(device=card.name, why=why)
    nodes = list(dict.fromkeys((disk, device)))
    try:
        for node in nodes:
            _run(card, ["blockdev", "--setrw", str(node)])
        _run(card, ["mount", "-i", "-o", "remount,rw,nosuid,nodev,noexec", str(card.root)])
        tree = Tree(card.root)
        try:
            yield tree
        finally:
            tree.close()
    finally:
        _close(card, nodes)


def written_since(card: MountedCard, before: int | None) -> int | None:
    """Sectors of 512 bytes that were written to the whole disk since; None where the kernel does not say."""
    now = sectors_written(card.name)
    return None if now is None or before is None else now - before


def erase(tree: Tree, path: bytes, content: Content, is_asked: Callable[[], bool] = lambda: True) -> Fate:
    """Read one file, compare, take its name away, have that on the medium, and look whether it is gone.

    `is_asked` is asked once more after the reading, which may take an hour.
    """
    try:
        descriptor = tree.open(path)
    except FileNotFoundError:
        return Fate.NOT_THERE
    except OSError:
        return Fate.UNREADABLE
    try:
        if not _holds(descriptor, content):
            return Fate.DIFFERS
        if not is_asked():
            return Fate.NOT_ASKED
        return _unlink(tree, path, os.fstat(descriptor))
    except OSError:
        return Fate.UNREADABLE
    finally:
        os.close(descriptor)


def _holds(descriptor: int, content: Content) -> bool:
    """Whether the medium gives the named bytes for this file; what the kernel remembers of it is dropped first."""
    if os.fstat(descriptor).st_size != content.size:
        return False
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    digest, total = hashlib.sha256(), 0
    with memoryview(bytearray(CHUNK)) as room:
        while count := os.preadv(descriptor, [room], total):
            digest.update(room[:count])
            total += count
    return total == content.size and digest.hexdigest() == content.sha256


def _unlink(tree: Tree, path: bytes, compared: os.stat_result) -> Fate:
    """Take away the very file that was compared. Raises OSError only while its name is there."""
    name, folder = path.rpartition(b"/")[2], tree.open_folder_of(path)
    try:
        here = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (here.st_dev, here.st_ino) != (compared.st_dev, compared.st_ino):
            return Fate.DIFFERS
        try:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return Fate.ERASED
        except OSError:
            return Fate.STILL_THERE
        return Fate.STILL_THERE
    finally:
        os.close(folder)


def _unfit(device: Path, kind: str) -> str:
    """Why this file system is not written to; empty where its driver may.

    A FAT or exFAT with its dirty flag is: recorders leave it so, and a card that was pulled while it was erased is one.
    Each file is compared before its name goes, and everything on the card is sealed by then. A journal that was not
    finished is another thing: what it still holds would be written over.
    """
    if kind not in WRITABLE:
        return f"its file system ({kind}) is not written to"
    if kind in FAT:
        return ""
    try:
        with device.open("rb") as opened:
            head = opened.read(2 * EXT_SUPERBLOCK)
    except OSError as cause:
        return cause.strerror or str(cause)
    is_open = bool(head[EXT_SUPERBLOCK + EXT_INCOMPAT] & EXT_RECOVER)
    return "its journal was not finished, and is not replayed here" if is_open else ""


def _close(card: MountedCard, nodes: Sequence[Path]) -> None:
    """Read-only again, first the file system, then the kernel's own protection; a card that is gone needs neither.

    Each is tried whatever became of the one before. Raises NotClosedError.
    """
    failed = list[str]()
    for argv in (
        ["mount", "-i", "-o", "remount,ro,nosuid,nodev,noexec", str(card.root)],
        *(["blockdev", "--setro", str(node)] for node in nodes),
    ):
        try:
            _run(card, argv)
        except NotWritableError as cause:
            failed.append(str(cause.parameters["why"]))
    if failed and (DEV / card.name).exists():
        raise NotClosedError(device=card.name, why="; ".join(failed))


def _run(card: MountedCard, argv: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=TOOL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise NotWritableError(device=card.name, why=f"{argv[0]}: {cause}") from cause
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()
        raise NotWritableError(
            device=card.name, why=said[0] if said else f"{argv[0]} ended with {done.returncode}"
        )
