"""What can be wrong with a card, written into its image: broken chains, raw names, flags, sizes that no card has.

The structures are those of the FAT and exFAT specifications; offsets in bytes. Nothing of Sealdock is used, so that a
mistake in reading cannot hide behind the same mistake here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from vm.card import SECTOR_BYTES
from vm.place import LabError

SEARCHED_BYTES = 64 << 20  # folders lie at the beginning of a card
FREE, END = 0, 0x0FFFFFFF  # what a FAT32 entry says of a cluster beside the next one's number
FAT_DIRTY, EXFAT_DIRTY = (0x41, 1), (0x6A, 2)  # the byte of the boot sector and the bit
_FILE, _STREAM = 0x85, 0xC0  # exFAT entry types


@dataclass(frozen=True)
class Fat32:
    """The tables of a FAT32 partition in a card image."""

    image: Path
    start: int
    sector: int
    cluster: int
    reserved: int
    copies: int
    table: int  # length of one copy

    @classmethod
    def of(cls, image: Path, partition: int = 1) -> Fat32:
        """Read from its boot sector."""
        start = start_of(image, partition)
        with image.open("rb") as file:
            file.seek(start)
            boot = file.read(SECTOR_BYTES)
        sector, per_cluster, reserved, copies = struct.unpack_from("<HBHB", boot, 11)
        (table,) = struct.unpack_from("<I", boot, 36)
        return cls(image, start, sector, sector * per_cluster, reserved * sector, copies, table * sector)

    def chain(self, first: int) -> list[int]:
        """The clusters of a file or folder, by the first copy of the table."""
        chain, here = list[int](), first
        with self.image.open("rb") as file:
            while 2 <= here < END & ~7 and len(chain) < self.table // 4:  # two are reserved
                chain.append(here)
                file.seek(self.start + self.reserved + 4 * here)
                here = struct.unpack("<I", file.read(4))[0] & END
        return chain

    def first_of(self, short_name: bytes) -> int:
        """The first cluster of what has this short name (11 bytes). Raises LabError."""
        with _patched(self.image) as file:
            at = _find(file, short_name, self.start)
            file.seek(at)
            entry = file.read(32)
        high, low = struct.unpack_from("<H", entry, 20)[0], struct.unpack_from("<H", entry, 26)[0]
        return int(high << 16 | low)

    def point(self, cluster: int, to: int) -> None:
        """Have every copy of the table say what follows on `cluster`."""
        with _patched(self.image) as file:
            for copy in range(self.copies):
                file.seek(self.start + self.reserved + copy * self.table + 4 * cluster)
                file.write(struct.pack("<I", to))


def start_of(image: Path, partition: int) -> int:
    """Where a partition begins."""
    with image.open("rb") as file:
        file.seek(446 + 16 * (partition - 1) + 8)
        return int(struct.unpack("<I", file.read(4))[0]) * SECTOR_BYTES


def rename_short(image: Path, old: bytes, new: bytes) -> None:
    """Write other bytes (11) into a FAT short name, as firmware that knows no code page does."""
    with _patched(image) as file:
        file.seek(_find(file, old, 0))
        file.write(new)


def set_dirty(image: Path, partition: int, flag: tuple[int, int]) -> None:
    """Mark a volume as one that was not unmounted."""
    with _patched(image) as file:
        file.seek(start_of(image, partition) + flag[0])
        before = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([before | flag[1]]))


def claim_size(image: Path, name: str, size: int) -> None:
    """Have an exFAT file of at least one cluster claim `size` bytes, all of them valid and in one piece."""
    with _patched(image) as file:
        at = _find(file, b"\xc1\x00" + name[:15].encode("utf-16-le"), 0) - 64
        file.seek(at)
        more = file.read(2)[1]
        file.seek(at)
        entries = bytearray(file.read(32 * (1 + more)))
        if (entries[0], entries[32]) != (_FILE, _STREAM):
            raise LabError(f"{name} is not where it was looked for")
        entries[33] |= 2  # NoFatChain
        struct.pack_into("<Q", entries, 32 + 8, size)
        struct.pack_into("<Q", entries, 32 + 24, size)
        struct.pack_into("<H", entries, 2, _checksum(entries))
        file.seek(at)
        file.write(entries)


def blank_out(image: Path, start: int, length: int) -> None:
    """Noughts over a part of the card."""
    with _patched(image) as file:
        file.seek(start)
        file.write(bytes(length))


def digest(image: Path) -> str:
    """Of the whole image: equal before and after means that nothing was written."""
    with image.open("rb") as file:
        whole = sha256()
        while piece := file.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()


def _checksum(entries: bytearray) -> int:
    """Of an exFAT entry set, without its own field (exFAT specification, 6.3.3)."""
    total = 0
    for place, byte in enumerate(entries):
        if place not in {2, 3}:
            total = ((total << 15 | total >> 1) + byte) & 0xFFFF
    return total


def _find(file: BinaryIO, what: bytes, start: int) -> int:
    file.seek(start)
    place = file.read(SEARCHED_BYTES).find(what)
    if place < 0:
        raise LabError(f"the card does not hold {what!r} near its beginning")
    return start + place


@contextmanager
def _patched(image: Path) -> Iterator[BinaryIO]:
    with image.open("r+b") as file:
        yield file
