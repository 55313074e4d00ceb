"""Where the lab keeps what is made once, and what this machine must have before it can run."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

CHECKOUT = Path(__file__).resolve().parents[2]
GUEST_PYTHON = (3, 11)  # Debian 12's; compiled wheels fit one minor version
BUILDERS = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
}  # fmt: skip
ROOM_BYTES = 6 << 30  # an image and its saved states take half of it, machines and cards little
OTHERS_DONE_WITHIN_S = (
    500.0  # an image and three saved states, made by another test process on a busy machine
)


class LabError(Exception):
    """The lab itself failed; it says nothing about the product."""


def cache() -> Path:
    """The directory of images and warm states; SEALDOCK_LAB_CACHE, or the user's cache directory."""
    named = os.environ.get("SEALDOCK_LAB_CACHE")
    if named:
        return Path(named).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sealdock-lab"


def program(name: str) -> str | None:
    """Where a program lies, also for users whose PATH leaves /usr/sbin out."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def lacking() -> str | None:
    """What keeps the lab from running here, as a sentence; None when nothing does."""
    packages = sorted({package for name, package in BUILDERS.items() if program(name) is None})
    if packages:
        return f"the lab needs Debian packages that are not here: {' '.join(packages)}"
    if sys.version_info[:2] != GUEST_PYTHON:
        here, there = sys.version.split()[0], ".".join(map(str, GUEST_PYTHON))
        return f"the lab's guest has Python {there} and takes the packages of this environment, which is for {here}"
    if os.geteuid() != 0 and not (cache() / "current").exists():
        return "the lab's image has not been built, and building it (a chroot) needs root: script/lab build"
    return _lacking_room()


def _lacking_room() -> str | None:
    cache().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache()).free
    if free < ROOM_BYTES:
        return (
            f"the lab needs {ROOM_BYTES >> 30} GiB for its image and {free >> 30} GiB are free in {cache()}"
        )
    return None


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock `name`: of two test processes one builds and the other waits for it. Raises LabError."""
    cache().mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + OTHERS_DONE_WITHIN_S
    with (cache() / f"{name}.lock").open("w") as lock:
        while not _is_ours(lock):
            if time.monotonic() > deadline:
                raise LabError(f"another process has held {lock.name} for {OTHERS_DONE_WITHIN_S:.0f} s")
            time.sleep(0.1)
        yield


@contextmanager
def forming(name: str, directory: Path) -> Iterator[Path]:
    """A place to make something in, for whoever holds the lock `name`; what a dead holder left goes first."""
    for left in directory.glob(f"forming-{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f"forming-{name}-", dir=directory) as made:
        yield Path(made)


def _is_ours(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
