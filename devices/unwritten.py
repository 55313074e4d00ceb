"""What shows that the dock wrote nothing to a recorder during a session.

Two things that the dock cannot talk away: the kernel's own count of sectors written to the disk, and the digest of the
tables that every write to a file system changes, taken before the first read and after the last. The tables are read
past the page cache (O_DIRECT): a digest of what the kernel remembers would show nothing. The medium is never read a
second time; the bytes are bounded (devices/structure.py).

Invariants: nothing here is an opinion: `holds` is true only of numbers and digests that were taken; what was not
measured is None and holds nothing. It proves nothing about what the recorder did to itself, or before it was docked.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from devices.structure import Extent, file_system_extents, partition_extents

BLOCK = (
    4096  # O_DIRECT wants offset, length and memory to be multiples of the disk's sectors: 4096 is one of all
)
CHUNK = 1 << 20
WRITE_SECTORS, DISCARD_SECTORS = 6, 13  # fields of /sys/block/*/stat (Linux, Documentation/block/stat.rst)
SYS_BLOCK = Path("/sys/class/block")


class Method(StrEnum):
    """How it was shown, the strongest first (docs/operations/bays.md)."""

    COUNTER_AND_TABLES = "write_counter+tables"
    COUNTER = "write_counter"
    READ_ONLY_TRANSPORT = "read_only_transport"  # the transport has no command that writes


@dataclass(frozen=True)
class Untouched:
    """The evidence of one session with one volume.

    `sectors_written` is what the kernel's counter of the whole disk grew by, in sectors of 512 bytes, discards
    included. The digests are over the tables of partitions and file system, in hexadecimal; both None when the
    tables could not be read. `tables_bytes` were read for each.
    """

    method: str
    sectors_written: int | None = None
    tables_sha256_before: str | None = None
    tables_sha256_after: str | None = None
    tables_bytes: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it shows that nothing was written."""
        if self.method == Method.READ_ONLY_TRANSPORT:
            return True
        if self.method == Method.COUNTER:
            return self.sectors_written == 0
        is_same = (
            self.tables_sha256_before is not None and self.tables_sha256_before == self.tables_sha256_after
        )
        return self.method == Method.COUNTER_AND_TABLES and self.sectors_written == 0 and is_same


@dataclass(frozen=True)
class Measurement:
    """How a block device stood at one moment. `disk` tells this disk from any other that had its name before."""

    disk: str
    sectors: int | None
    tables_sha256: str | None
    tables_bytes: int = 0


def compare(before: Measurement | None, after: Measurement | None) -> Untouched | None:
    """What two measurements of one disk show; None when there are not two of the same disk."""
    if before is None or after is None or before.disk != after.disk:
        return None
    if before.sectors is None or after.sectors is None:
        return None
    written = after.sectors - before.sectors
    if before.tables_sha256 is None:
        return Untouched(Method.COUNTER, written)
    return Untouched(
        Method.COUNTER_AND_TABLES, written, before.tables_sha256, after.tables_sha256, before.tables_bytes
    )


def measure(node: Path, fs_type: str) -> Measurement:
    """Counter and tables of a block device, now; what cannot be read is None. Needs the right to read the device."""
    name = node.resolve().name
    try:
        digest, length = digest_tables(node, fs_type)
    except OSError:
        digest, length = None, 0
    return Measurement(disk_of(name), sectors_written(name), digest, length)


def whole_disk(name: str) -> str:
    """The disk that a partition is on, by kernel names; the name itself for a disk."""
    place = (SYS_BLOCK / name).resolve()
    return place.parent.name if (place / "partition").exists() else name


def disk_of(name: str) -> str:
    """The disk's own number since the machine's start (`diskseq`, Linux 5.15), else its place in the tree.

    `sda1` may be another card a minute later; this tells them apart.
    """
    disk = SYS_BLOCK / whole_disk(name)
    try:
        return f"diskseq {(disk / 'diskseq').read_text(encoding='ascii').strip()}"
    except (OSError, UnicodeDecodeError):
        return str(disk.resolve())


def sectors_written(name: str) -> int | None:
    """Sectors written to and discarded from the whole disk since the kernel saw it; None where it does not say."""
    try:
        fields = (SYS_BLOCK / whole_disk(name) / "stat").read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return None
    counted = [fields[index] for index in (WRITE_SECTORS, DISCARD_SECTORS) if index < len(fields)]
    return sum(map(int, counted)) if counted and all(map(str.isdecimal, counted)) else None


def digest_tables(node: Path, fs_type: str) -> tuple[str, int]:
    """SHA-256 over partition table and file-system tables, and how many bytes those were. Raises OSError.

    Each extent is hashed as one line `<disk|volume> <offset> <length>` and its bytes, in the order of the offsets.
    """
    name = node.resolve().name
    disk = whole_disk(name)
    digest, total = hashlib.sha256(), 0
    if disk != name:
        with _opened(node.resolve().with_name(disk)) as device:
            total += device.add(digest, "disk", partition_extents(device.size))
    with _opened(node) as device:
        own = set(file_system_extents(fs_type, device.read, device.size)) | set(
            partition_extents(device.size)
        )
        total += device.add(digest, "volume", sorted(own))
    return digest.hexdigest(), total


class _Device:
    """A block device or image, read past the page cache where that can be."""

    def __init__(self, descriptor: int, *, is_direct: bool) -> None:
        self._descriptor, self._is_direct = descriptor, is_direct
        self.size = os.lseek(descriptor, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at a place, as many as there are. Raises OSError."""
        start = offset - offset % BLOCK
        wanted = length + offset - start
        with mmap.mmap(-1, -(-wanted // BLOCK) * BLOCK) as aligned, memoryview(aligned) as room:
            count = self._fill(room, start)
            return bytes(room[offset - start : min(wanted, count)])

    def add(self, digest: hashlib._Hash, what: str, extents: Iterable[Extent]) -> int:
        """Hash the extents; how many bytes they had."""
        total = 0
        for extent in extents:
            digest.update(f"{what} {extent.offset} {extent.length}\n".encode())
            for place in range(extent.offset, extent.offset + extent.length, CHUNK):
                piece = self.read(place, min(CHUNK, extent.offset + extent.length - place))
                digest.update(piece)
                total += len(piece)
        return total

    def _fill(self, room: memoryview, start: int) -> int:
        count = 0
        while count < len(room):
            if not self._is_direct:
                os.posix_fadvise(self._descriptor, start + count, len(room) - count, os.POSIX_FADV_DONTNEED)
            got = os.preadv(self._descriptor, [room[count:]], start + count)
            count += got
            if got == 0 or got % BLOCK:
                break
        return count


@contextmanager
def _opened(node: Path) -> Iterator[_Device]:
    """Open for reading only; with O_DIRECT, or, where the driver has none, dropping what the kernel remembers."""
    is_direct = True
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        is_direct, descriptor = False, os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _Device(descriptor, is_direct=is_direct)
    finally:
        os.close(descriptor)


def is_kernel_name(text: str) -> bool:
    """Whether this may be the kernel's name of a disk or partition, and nothing that leads elsewhere."""
    return bool(re.fullmatch(r"[a-z][a-z0-9]{0,30}", text))
