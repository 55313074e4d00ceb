"""A card with bad sectors: a FUSE view of a folder in which one file stops with EIO. Run as a program.

The error is a real one: it comes from the kernel, out of a mounted file system.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mfusepy


class FailingCard(mfusepy.Operations):
    """`folder` read-only; reads of `bad` at or beyond `good_bytes` fail."""

    def __init__(self, folder: Path, bad: str, good_bytes: int) -> None:
        self._folder, self._bad, self._good = folder, bad, good_bytes

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, Any]:
        facts = os.lstat(self._at(path))
        return {name: getattr(facts, name) for name in ("st_mode", "st_size", "st_mtime", "st_nlink")}

    def readdir(self, path: str, _fh: int) -> list[str]:
        return [".", "..", *(entry.name for entry in self._at(path).iterdir())]

    def read(self, path: str, size: int, offset: int, _fh: int) -> bytes:
        if path.endswith(self._bad) and offset + size > self._good:
            raise mfusepy.FuseOSError(errno.EIO)
        with self._at(path).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _at(self, path: str) -> Path:
        return self._folder / path.lstrip("/")


@contextmanager
def failing_card(folder: Path, bad: str, good_bytes: int) -> Iterator[Path]:
    """The folder, mounted with its bad sectors."""
    root = folder.with_suffix(".bad")
    root.mkdir()
    driver = subprocess.Popen([sys.executable, __file__, str(folder), str(root), bad, str(good_bytes)])
    end = time.monotonic() + 20
    while not root.is_mount() and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
        driver.terminate()  # a sandbox elsewhere that has a copy of this mount would keep it going
        driver.wait(20)


if __name__ == "__main__":
    source, target, bad_name, good = sys.argv[1:]
    mfusepy.FUSE(
        FailingCard(Path(source), bad_name, int(good)), target, foreground=True, nothreads=True, ro=True
    )
