"""File systems in files: real ext4 and XFS that may be filled, made read-only and cut off from their power."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2  # linux/fs.h: stop as if the power had gone
SIZE = 320 * 2**20  # mkfs.xfs makes no smaller one; sparse
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
GONE_WITHIN_S = 30.0  # longer than any sandboxed work of another test
MEMORY = Path("/dev/shm")  # noqa: S108  # images lie here where there is room: dozens of power cuts spare the disk


class NoMountError(Exception):
    """This machine does not let us mount; the tests that need it are skipped, in CI they fail."""


class Disk:
    """One file system in a file. `size` in bytes; mounted at `place` from the start."""

    def __init__(self, kind: str, image: Path, place: Path, size: int = SIZE) -> None:
        self.kind, self.image, self.place = kind, image, place
        place.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(size)
        subprocess.run([*_MAKE[kind], str(image)], check=True, capture_output=True)
        self.mount()

    def mount(self) -> None:
        done = subprocess.run(
            ["mount", "-t", self.kind, "-o", "loop", self.image, self.place],
            check=False, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise NoMountError(done.stderr.decode().strip())

    def unmount(self) -> None:
        """Let go, and wait until the kernel has: a sandbox that some other test started keeps a copy of every mount,
        and a file system that lived on beside its own successor would spoil both.
        """
        done = subprocess.run(["umount", self.place], check=False, capture_output=True)
        if done.returncode:  # a failed test holds files
            subprocess.run(["umount", "--lazy", self.place], check=False, capture_output=True)
        end = time.monotonic() + GONE_WITHIN_S
        while self._is_attached() and time.monotonic() < end:
            time.sleep(0.01)
        if self._is_attached():
            raise NoMountError(f"{self.image} is still held {GONE_WITHIN_S} s after it was unmounted")

    def _is_attached(self) -> bool:
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with suppress(OSError):  # it goes away while we look
                if backing.read_text().strip() == str(self.image):
                    return True
        return False

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", self.place], check=True, capture_output=True)

    def sync(self) -> None:
        subprocess.run(["sync", "-f", self.place], check=True)

    def cut_power(self) -> None:
        """Nothing survives that was not written, and no name that the journal does not hold."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@contextmanager
def room(wanted: int = 4 * 2**30) -> Iterator[Path]:
    """A directory for images and mounts, in memory when half of what is wanted fits there."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > wanted // 2
    place = Path(tempfile.mkdtemp(prefix="sealdock-disks-", dir=MEMORY if in_memory else None))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def without_flags(place: Path) -> Iterator[Path]:
    """A file system that knows no immutable files: ramfs, which every kernel has."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "ramfs", "ramfs", place], check=False, capture_output=True)
    if done.returncode:
        raise NoMountError(done.stderr.decode().strip())
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


class Disks:
    """A house on three file systems: objects on one, the log on another, the database on a third.

    fsync of one file makes much of a journalling file system durable, so on a single one a missing fsync hides behind
    any other. Apart, each part stands on its own promises. The power of all three goes at the same moment.
    """

    def __init__(self, kind: str, place: Path) -> None:
        self.house = place / "house"
        self._database = Disk(kind, place / "database.img", self.house)
        (self.house / "vault").mkdir()
        self._objects = Disk(kind, place / "objects.img", self.house / "vault")
        self._log = Disk(kind, place / "log.img", place / "log")
        self._bound = ("log", "keys", "packs")

    def fill(self, source: Path) -> None:
        """Copy a founded house in, durably."""
        for name in self._bound:
            (self._log.place / name).mkdir()
            (self.house / "vault" / name).mkdir()
        self._bind()
        shutil.copytree(source, self.house, dirs_exist_ok=True)
        for disk in (self._database, self._objects, self._log):
            disk.sync()

    def cut_power(self) -> None:
        for disk in (self._database, self._log, self._objects):
            disk.cut_power()

    def come_back(self) -> None:
        """Unmount and mount again: what is there now is what survived."""
        self.unmount()
        self._database.mount()
        self._objects.mount()
        self._log.mount()
        self._bind()

    def unmount(self) -> None:
        for name in self._bound:
            subprocess.run(["umount", self.house / "vault" / name], check=False, capture_output=True)
        for disk in (self._log, self._objects, self._database):
            disk.unmount()

    def _bind(self) -> None:
        for name in self._bound:
            subprocess.run(
                ["mount", "--bind", self._log.place / name, self.house / "vault" / name], check=True
            )
