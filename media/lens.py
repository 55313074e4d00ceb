"""A lens: one recording, decrypted as it is read, shown as a read-only file while a tool needs it.

The file exists only in this process. The kernel asks for ranges, the reader decrypts and authenticates
exactly those, and a range that does not authenticate is a read error for the tool and raised here
afterwards. No plaintext is written anywhere and no key comes near the sandbox (DESIGN.md section 3). The
mount point lies in a private directory; only the owner can open the file, except as root, where the
sandboxed tool is `nobody` and the walls decide what it sees. Leaving the block unmounts for certain; `sweep`
removes what a killed process left.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from media.error import LensError, MediaToolMissingError
from media.walls import find_program

if TYPE_CHECKING:
    from types import ModuleType

    from media.lens_view import Reader, View

PREFIX = "lens-"
READ_AHEAD_KIB = 1024  # eight times the kernel's default: fewer turns through the interpreter
MOUNT_DEADLINE_S = 10.0
UNMOUNT_ATTEMPTS = 20


@contextmanager
def present(reader: Reader, size: int, directory: Path) -> Iterator[Path]:
    """The path of a file of `size` bytes that reads through `reader`, until the block is left.

    `directory` is private to the station's media worker and is made when missing. Raises LensError or
    MediaToolMissingError when the machine cannot mount, and when the block ends well but `reader` failed
    under a tool, what it raised.
    """
    library = _library()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = Path(mkdtemp(prefix=PREFIX, dir=directory))
    view, refusal = library.View(reader, size), list[str]()
    serving = threading.Thread(target=_serve, args=(library, view, place, refusal), name="lens", daemon=True)
    serving.start()
    try:
        _await_mount(place / library.NAME, serving, refusal)
        yield place / library.NAME
    except BaseException as cause:
        if view.failure is not None:  # the tool's complaint is only the echo of this
            raise view.failure from cause
        raise
    finally:
        _unmount(place)
        serving.join(MOUNT_DEADLINE_S)
        place.rmdir()
    if view.failure is not None:
        raise view.failure


def sweep(directory: Path) -> int:
    """Unmount and remove what a killed process left in `directory`; called once at the worker's start."""
    left = sorted(directory.glob(f"{PREFIX}*")) if directory.is_dir() else []
    for place in left:
        _unmount(place)
        place.rmdir()
    return len(left)


def _library() -> ModuleType:
    find_program("fusermount3")
    try:
        from media import lens_view  # noqa: PLC0415  # importing it loads libfuse, which may be missing
    except OSError as cause:
        raise MediaToolMissingError(program="libfuse3", package="fuse3") from cause
    return lens_view


def _serve(library: ModuleType, view: View, place: Path, refusal: list[str]) -> None:
    try:
        library.serve(view, str(place), everyone=os.geteuid() == 0)
    except (RuntimeError, OSError) as cause:
        refusal.append(str(cause))


def _await_mount(file: Path, serving: threading.Thread, refusal: list[str]) -> None:
    deadline = time.monotonic() + MOUNT_DEADLINE_S
    while not file.exists():
        if not serving.is_alive() or time.monotonic() > deadline:
            raise LensError(
                why=f"libfuse ended with {refusal[0]}" if refusal else "it did not appear in time"
            )
        serving.join(0.001)
    _read_ahead(file.stat().st_dev)


def _read_ahead(device: int) -> None:
    """Let the kernel ask for more at once; only root may, and without it everything works, slower."""
    knob = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    with suppress(OSError):
        knob.write_text(str(READ_AHEAD_KIB))


def _unmount(place: Path) -> None:
    """Detach at once, even while a tool holds the file; asks again until the mount is gone."""
    argv = ["umount", "--lazy"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
    for _ in range(UNMOUNT_ATTEMPTS):
        if not _is_mounted(place):
            return
        subprocess.run([find_program(argv[0]), *argv[1:], str(place)], capture_output=True, check=False)
    raise LensError(why=f"{place} could not be unmounted")


def _is_mounted(place: Path) -> bool:
    try:
        return place.lstat().st_dev != place.parent.lstat().st_dev
    except OSError as cause:
        if cause.errno == errno.ENOTCONN:  # mounted, and the process behind it is dead
            return True
        raise
