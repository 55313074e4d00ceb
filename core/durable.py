"""Files that are there, whole, or not there at all.

Invariant: when a function here returns, the file and its name survive a power cut; before that, no reader
ever sees part of it. Evidence files are created once and never overwritten; the few that are ever
replaced (the checkpoint, a witness's record, the dock's status) say so by calling `replace`.
An fsync that fails is never retried on the same file (ADR 0005): the error goes up, the temporary stays away.
"""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex

from core.errors import SealdockError

READ_ONLY = 0o440
_SETTLED: set[Path] = set()  # directories whose names this process has made durable


class AlreadyExistsError(SealdockError):
    """Somebody already wrote this file; it was left as it is."""

    code = "core.exists"
    sentence = "{path} exists already and is never overwritten. Nothing was changed."


def fsync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(directory: Path, mode: int = 0o750) -> None:
    """Create `directory` and its parents; each new name is durable on return."""
    if directory.is_dir():
        return
    make_directory(directory.parent, mode)
    directory.mkdir(mode=mode, exist_ok=True)
    fsync_directory(directory.parent)


def settle_directory(directory: Path, within: Path, mode: int = 0o750) -> None:
    """As `make_directory`, for a directory below `within`, and trusting no name that it finds there already.

    Whoever made a directory may have died before the name was durable; so every name between `within` and
    `directory` is made durable once in the life of this process.
    """
    if directory == within or (directory in _SETTLED and directory.is_dir()):
        return
    settle_directory(directory.parent, within, mode)
    directory.mkdir(mode=mode, exist_ok=True)
    fsync_directory(directory.parent)
    _SETTLED.add(directory)


def create_once(path: Path, content: bytes, mode: int = READ_ONLY) -> None:
    """Write `path` whole and durable, or raise AlreadyExistsError and leave what is there.

    Temporary, fsync, hard link, fsync of the directory: a link fails where a rename would overwrite.
    The directory is made durable in both cases: the one who came first may have died before that step.
    """
    temporary = _write_temporary(path, content, mode)
    try:
        path.hardlink_to(temporary)
    except FileExistsError as cause:
        fsync_directory(path.parent)
        raise AlreadyExistsError(path=path) from cause
    finally:
        temporary.unlink()
    fsync_directory(path.parent)


def replace(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Put `content` in the place of `path` durably; a reader sees the old or the new, never a mixture."""
    temporary = _write_temporary(path, content, mode)
    temporary.replace(path)
    fsync_directory(path.parent)


def rename_into(source: Path, target: Path) -> None:
    """Move a finished file to its final name without ever overwriting, then make both directories durable.

    A crash between the two names leaves both on one file; doing it again finishes the move.
    """
    try:
        target.hardlink_to(source)
    except FileExistsError as cause:
        if not target.samefile(source):
            raise AlreadyExistsError(path=target) from cause
    source.unlink()
    fsync_directory(target.parent)
    fsync_directory(source.parent)


def _write_temporary(path: Path, content: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{token_hex(6)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except BaseException:
        temporary.unlink()
        raise
    finally:
        os.close(descriptor)
    return temporary
