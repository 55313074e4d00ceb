"""A slow medium that the kernel reads: folders shown by FUSE, each with one head that moves at its own rate.

Every folder below `root` is a card. What is asked of a card is answered one request after another, each as late as its
rate says, so that `dd` and the dock see the same thing: page cache, read-ahead and all. The kernel forgets a file's
pages whenever it is opened, so that a second reader reads the medium again. When a card's first and last bytes were
read is known to the medium and not guessed from outside; that is the clock of these benches.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mfusepy

THREADS = 48  # as many requests may wait at once: more than the cards of any bench have readers
MOUNT_S = 60.0
STEP = 128 * 1024  # what the kernel asks for at once


@dataclass
class Head:
    """One card's head. Its rate in bytes a second, None for as fast as it goes; `unsteady`: luck's share of it."""

    rate: float | None = None
    open_s: float = 0.0
    unsteady: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    taken: int = 0
    _due: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311

    def open(self) -> None:
        """A file is looked up: the head moves."""
        with self._lock:
            self._wait(self.open_s)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """So many bytes, not sooner than a head at this rate has them."""
        with self._lock:
            self.first_at = self.first_at or time.monotonic()
            got = os.pread(descriptor, size, offset)
            luck = self._chance.uniform(1 - self.unsteady, 1 + self.unsteady)
            self._wait(len(got) / self.rate * luck if self.rate else 0.0)
            self.taken += len(got)
            self.last_at = time.monotonic()
            return got

    @property
    def seconds(self) -> float:
        """From the first byte asked for to the last byte given."""
        return self.last_at - self.first_at

    def again(self) -> None:
        """Another reader comes; the watch is set back."""
        with self._lock:
            self.first_at = self.last_at = self._due = 0.0
            self.taken = 0

    def _wait(self, seconds: float) -> None:
        """The head was free since it had finished; it saves up no time while nobody asks."""
        self._due = max(self._due, time.monotonic() - STEP / self.rate if self.rate else 0.0) + seconds
        if (left := self._due - time.monotonic()) > 0:
            time.sleep(left)


class Cards(mfusepy.Operations):  # type: ignore[misc]  # the library has no types
    """All cards of one mount, by the name of their folder; nothing can be written."""

    use_ns = True

    def __init__(self, root: Path, heads: dict[str, Head]) -> None:
        self._root, self._heads = root, heads

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:  # noqa: ARG002
        """As it lies below `root`."""
        found = self._look(path)
        kept = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid")
        return {name: getattr(found, name) for name in kept} | {"st_mtime": found.st_mtime_ns}

    def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
        """Names."""
        return [".", "..", *(found.name for found in (self._root / path[1:]).iterdir())]

    def open(self, path: str, flags: int) -> int:
        """Only for reading."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise mfusepy.FuseOSError(errno.EROFS)
        self._head(path).open()
        return os.open(self._root / path[1:], os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """In the card's own time."""
        return self._head(path).read(fh, size, offset)

    def release(self, path: str, fh: int) -> int:  # noqa: ARG002
        """Closed."""
        os.close(fh)
        return 0

    def _head(self, path: str) -> Head:
        return self._heads[path.split("/")[1]]

    def _look(self, path: str) -> os.stat_result:
        try:
            found = os.lstat(self._root / path[1:])
        except OSError as cause:
            raise mfusepy.FuseOSError(cause.errno or errno.EIO) from cause
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise mfusepy.FuseOSError(errno.EPERM)
        return found


@contextmanager
def mounted(root: Path, place: Path, heads: dict[str, Head]) -> Iterator[None]:
    """The cards below `root`, seen at `place` until the block ends."""
    place.mkdir()
    serving = threading.Thread(target=_serve, args=(Cards(root, heads), place), name="medium", daemon=True)
    serving.start()
    deadline = time.monotonic() + MOUNT_S
    while not os.path.ismount(place):
        assert serving.is_alive(), "the medium could not be mounted; is /dev/fuse there?"
        assert time.monotonic() < deadline, "the medium could not be mounted in time"
        time.sleep(0.01)
    try:
        yield
    finally:
        argv = ["umount", "--lazy"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*argv, place], check=True)
        serving.join(MOUNT_S)


def read_alone(folder: Path) -> None:
    """Every file below `folder` by `dd`, one after the other, in the order of their names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none"], check=True)


def _serve(cards: Cards, place: Path) -> None:
    options: dict[str, Any] = {"allow_other": True} if os.geteuid() == 0 else {}
    if mfusepy.fuse_version_major > 2:  # libfuse 2 makes as many as are needed
        options["max_threads"] = THREADS
    try:
        mfusepy.FUSE(
            cards, str(place), foreground=True, ro=True, fsname="sealdock", subtype="medium", **options,
        )  # fmt: skip
    finally:  # libfuse gives SIGPIPE its deadly meaning back when it ends (fuse_remove_signal_handlers(3))
        ctypes.CDLL(None).signal(int(signal.SIGPIPE), ctypes.c_void_p(signal.SIG_IGN.value))
