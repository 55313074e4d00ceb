"""Memory cards as image files: one partition, formatted and filled by the guest's own kernel.

The films on them are real ones, made long enough by a `free` box of random bytes (ISO/IEC 14496-12, 8.1.2) that a
cable can be pulled while one is read.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from support.footage import clip
from vm.machine import Machine
from vm.place import LabError

SECTOR_BYTES = 512
FIRST_SECTOR = 2048
MEBIBYTE = 1 << 20
SLACK_BYTES = 80 << 20  # a FAT32 volume has at least 65,525 clusters
Tree = Mapping[str, bytes]
MakeCard = Callable[[str, "FileSystem", Tree], Path]  # a card by its name, in the tests' own directory


class FileSystem(Enum):
    """What recorders format their cards with: the partition's type in the table, and who makes it."""

    FAT32 = (0x0C, "mkfs.vfat -F 32 -n", "vfat")
    EXFAT = (0x07, "mkfs.exfat -L", "exfat")
    EXT4 = (0x83, "mkfs.ext4 -q -L", "ext4")


def film(size: int = 0) -> bytes:
    """A film of at least `size` bytes that no other call gives."""
    content = clip("h264").read_bytes()
    filling = os.urandom(max(16, size - len(content) - 8))
    return content + struct.pack(">I4s", len(filling) + 8, b"free") + filling


def enforcement(serial: str, officer: str, films: list[bytes]) -> dict[str, bytes]:
    """The layout of a 执法记录仪: a folder a day; serial, officer, start and part in the name."""
    name = "20261123/{serial}{officer}_2026112308{minute:02d}00_{part:04d}.mp4"
    return {
        name.format(serial=serial, officer=officer, minute=part, part=part): content
        for part, content in enumerate(films, 1)
    }


def dcim(films: list[bytes]) -> dict[str, bytes]:
    """The layout of a plain camera."""
    return {f"DCIM/100MEDIA/MOV_{number:04d}.MP4": content for number, content in enumerate(films, 1)}


@dataclass(frozen=True)
class Part:
    """One partition. `then` is a shell line that the guest runs in it, `room` its bytes beside the files."""

    kind: FileSystem
    tree: Tree
    label: str = "CARD"
    then: str = "true"
    room: int = SLACK_BYTES

    @property
    def sectors(self) -> int:
        """Its length; a multiple of a mebibyte."""
        return -(-(sum(map(len, self.tree.values())) + self.room) // MEBIBYTE) * MEBIBYTE // SECTOR_BYTES


def make_card(machine: Machine, image: Path, kind: FileSystem, tree: Tree, label: str = "CARD") -> Path:
    """Write `image`, with `tree` on it, through a machine in which nothing else is plugged."""
    return make_parted(machine, image, Part(kind, tree, label))


def make_parted(machine: Machine, image: Path, *parts: Part) -> Path:
    """Write `image` with up to four partitions, each with its tree; names that are no text are surrogate-escaped."""
    with image.open("wb") as blank:
        blank.write(_partition_table(parts))
        blank.truncate((FIRST_SECTOR + sum(part.sectors for part in parts)) * SECTOR_BYTES)
    machine.usb.storage("filled", "15", image)
    try:
        for number, part in enumerate(parts, 1):
            _fill(machine, f"/dev/sda{number}", part)
    finally:
        machine.usb.pull("filled")
    return image


def _fill(machine: Machine, node: str, part: Part) -> None:
    below = machine.plan.hand / "card"
    below.mkdir()
    for path, content in part.tree.items():
        target = below / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    _, make, driver = part.kind.value
    machine.guest.until(f"test -b {node} && udevadm settle")
    machine.guest.run(
        f"{make} {part.label} {node} && mount -t {driver} {node} /mnt && cp -r /hand/card/. /mnt/ && "
        f"(cd /mnt && {part.then}) && umount /mnt && rm -r /hand/card",
        within_s=120,
    )


def sectors_of(image: Path, content: bytes, at: int, count: int) -> list[int]:
    """The `count` sectors of the medium that hold `content` from byte `at`. Raises LabError."""
    with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as medium:
        found = medium.find(content[at : at + 4 * SECTOR_BYTES])
    if found < 0:
        raise LabError(f"{image.name} does not hold those bytes in one piece")
    return [found // SECTOR_BYTES + number for number in range(count)]


def _partition_table(parts: Sequence[Part]) -> bytes:
    """A master boot record, as cameras write it; addresses by sector only."""
    beyond = b"\xfe\xff\xff"  # cylinders, heads and sectors that say: look at the sector number
    entries, first = b"", FIRST_SECTOR
    for part in parts:
        entries += struct.pack("<B3sB3sII", 0, beyond, part.kind.value[0], beyond, first, part.sectors)
        first += part.sectors
    return bytes(440) + os.urandom(4) + bytes(2) + entries.ljust(64, b"\0") + b"\x55\xaa"
