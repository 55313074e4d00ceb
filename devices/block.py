"""What a block device or card image holds, and loop devices for images; read-only throughout.

The programs asked are util-linux's (blkid, partx, losetup); a missing one is an error that names it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devices.error import DeviceError

TOOL_TIMEOUT_S = 90  # a hung medium answers EIO after about 36 s; a program may ask twice
SECTOR = 512


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


def attach(image: Path, part: FileSystem) -> Path:
    """A read-only loop device over one file system of an image; `release` it after mounting."""
    span = ["--offset", str(part.offset), "--sizelimit", str(part.length)] if part.length else []
    done = run(["losetup", "--find", "--show", "--read-only", *span, str(image)], image)
    if done.returncode:
        raise ToolError(program="losetup", device=image, why=done.stderr.strip())
    return Path(done.stdout.strip())


def release(loop: Path) -> None:
    """Detach; while the device is mounted the kernel waits with it until the unmount."""
    run(["losetup", "--detach", str(loop)], loop)


def _blkid(device: Path, offset: int) -> dict[str, str]:
    done = run(["blkid", "--probe", "--output", "export", "--offset", str(offset), str(device)], device)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _partitions(device: Path) -> list[tuple[int, int]]:
    done = run(["partx", "--raw", "--noheadings", "--output", "START,SECTORS", str(device)], device)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(int(row[0]), int(row[1])) for row in rows if len(row) == 2]  # noqa: PLR2004


def _file_system(facts: dict[str, str], offset: int, length: int) -> FileSystem:
    return FileSystem(facts["TYPE"], facts.get("LABEL", ""), facts.get("UUID", ""), offset, length)
