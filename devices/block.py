"""What a block device or card image holds, and loop devices for images; read-only throughout.

The programs asked are util-linux's (blkid, partx); a missing one is an error that names it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devices.error import DeviceError

TOOL_TIMEOUT_S = 90  # a hung medium answers EIO after about 36 s; a program may ask twice
SECTOR = 512
ATTEMPTS = 16  # other bays ask for loop devices at the same moment
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A  # linux/loop.h
_READ_ONLY, _AUTOCLEAR = 1, 4  # lo_flags
_LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")  # struct loop_info64


class ToolError(DeviceError):
    """A system program failed or is missing."""

    code = "devices.tool"
    sentence = (
        "`{program}` could not do its part for {device}: {why}. Nothing on the recorder was changed; "
        "`sealdock doctor` shows what is missing."
    )


@dataclass(frozen=True)
class FileSystem:
    """A file system found on a device; offset and length in bytes, length 0 for "to the end"."""

    kind: str
    label: str = ""
    uuid: str = ""
    offset: int = 0
    length: int = 0


def run(argv: Sequence[str], device: Path) -> subprocess.CompletedProcess[str]:
    """Run a system program and give back whatever it said. Raises ToolError when it is missing or hangs."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise ToolError(program=argv[0], device=device, why=str(cause)) from cause


def probe(device: Path) -> tuple[FileSystem, ...]:
    """The file systems on a disk, partition or image: itself, or its partitions. Empty for none known."""
    facts = _blkid(device, 0)
    if facts.get("TYPE"):
        return (_file_system(facts, 0, 0),)
    if not facts.get("PTTYPE"):
        return ()
    found = []
    for start, sectors in _partitions(device):
        inner = _blkid(device, start * SECTOR)
        if inner.get("TYPE"):
            found.append(_file_system(inner, start * SECTOR, sectors * SECTOR))
    return tuple(found)


@contextmanager
def attached(image: Path, part: FileSystem) -> Iterator[Path]:
    """A read-only loop device over one file system of an image, to be mounted inside the block.

    The kernel detaches it by itself once neither we nor a mount hold it, so that not even a killed process leaves one
    behind. Raises ToolError.
    """
    try:
        with image.open("rb", buffering=0) as backing:
            device, descriptor = _attach(backing.fileno(), part)
    except OSError as cause:
        raise ToolError(program="loop device", device=image, why=cause.strerror or str(cause)) from cause
    try:
        yield device
    finally:
        os.close(descriptor)


def _attach(backing: int, part: FileSystem) -> tuple[Path, int]:
    """A free loop device, configured; another process may take it first, then the next one is tried."""
    info = _LOOP_INFO.pack(
        0, 0, 0, part.offset, part.length, 0, 0, 0, _READ_ONLY | _AUTOCLEAR, b"", b"", b"", 0, 0
    )
    with Path("/dev/loop-control").open("rb", buffering=0) as control:
        for attempt in range(ATTEMPTS):
            device = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
            descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, struct.pack("II", backing, 0) + info + bytes(64))
            except OSError as cause:
                os.close(descriptor)
                if cause.errno != errno.EBUSY or attempt == ATTEMPTS - 1:
                    raise
                continue
            return device, descriptor
    raise OSError(errno.EBUSY, "no loop device is free")


def _blkid(device: Path, offset: int) -> dict[str, str]:
    done = run(["blkid", "--probe", "--output", "export", "--offset", str(offset), str(device)], device)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _partitions(device: Path) -> list[tuple[int, int]]:
    done = run(["partx", "--raw", "--noheadings", "--output", "START,SECTORS", str(device)], device)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows if len(row) == 2]  # noqa: PLR2004


def _file_system(facts: dict[str, str], offset: int, length: int) -> FileSystem:
    return FileSystem(facts["TYPE"], facts.get("LABEL", ""), facts.get("UUID", ""), offset, length)
