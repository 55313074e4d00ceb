"""Where the tables of a disk lie: what changes when anything at all is written to a card, in bounded bytes.

Every number on a card is a claim of the card: each is checked before it is used, and no structure is read beyond its
bound. A structure that makes no sense gives no extents rather than wrong ones. Layouts: UEFI 2.10 chapter 5 (MBR,
GPT); Microsoft's FAT specification 1.03 and exFAT specification 1.00; Linux ext4 "Data Structures and Algorithms".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SECTOR = 512  # what the kernel counts in, whatever the disk's own sectors are
MOST_OF_ONE = (
    4 * 1024 * 1024
)  # bytes of one table; the FAT of a 16 GiB card whole, of a larger one its beginning
PARTITION_TABLE = 34 * SECTOR  # MBR, GPT header and 128 entries (UEFI 2.10, 5.3.1), the same again at the end
SHIFTS = range(9, 13)  # exFAT and FAT: sectors of 512 to 4096 bytes
MOST_CLUSTER_SHIFT = 25  # exFAT 3.1.15: a cluster is 32 MiB at most
ROOT_LIMIT = 64 * 1024  # bytes of the root directory that are looked at
EXFAT_BOOT_SECTORS = 24  # main and backup boot regions (exFAT 2)
BITMAP_ENTRY = 0x81  # exFAT 7.1
EXT_SUPERBLOCK, EXT_MAGIC = 1024, 0xEF53
EXT_64BIT = 0x80  # incompatible feature: group descriptors of s_desc_size bytes

ReadAt = Callable[[int, int], bytes]  # offset, length -> as many bytes as there are; raises OSError


@dataclass(frozen=True, order=True)
class Extent:
    """A run of bytes of a device."""

    offset: int
    length: int


def partition_extents(size: int) -> Iterator[Extent]:
    """The partition table of a whole disk of `size` bytes, with GPT's second copy at its end."""
    yield Extent(0, min(PARTITION_TABLE, size))
    if size > 2 * PARTITION_TABLE:
        yield Extent(size - PARTITION_TABLE, PARTITION_TABLE)


def file_system_extents(kind: str, read: ReadAt, size: int) -> tuple[Extent, ...]:
    """The tables of a file system on a device of `size` bytes; empty for a kind or a layout that is not known."""
    finders = {"vfat": _fat, "exfat": _exfat, "ext2": _ext, "ext3": _ext, "ext4": _ext}
    if kind not in finders:
        return ()
    try:
        found = list(finders[kind](read))
    except struct.error:  # shorter than its own head
        return ()
    return tuple(
        Extent(one.offset, min(one.length, MOST_OF_ONE, size - one.offset))
        for one in found
        if 0 <= one.offset < size and one.length > 0
    )


def _fat(read: ReadAt) -> Iterator[Extent]:
    """Reserved sectors (boot, FSInfo, copies), each FAT, and the beginning of the root directory."""
    sector, per_cluster, reserved, fats, roots, _, _, short = struct.unpack_from(
        "<HBHBHHBH", read(0, SECTOR), 11
    )
    long, _, _, root_cluster = struct.unpack_from("<IHHI", read(0, SECTOR), 36)
    fat = (short or long) * sector
    if sector not in {1 << shift for shift in SHIFTS} or not 1 <= fats <= 4 or not reserved or not fat:  # noqa: PLR2004
        return
    yield Extent(0, reserved * sector)
    for number in range(fats):
        yield Extent(reserved * sector + number * fat, fat)
    heap = reserved * sector + fats * fat
    if roots:  # FAT12 and FAT16: the root directory has a place of its own
        yield Extent(heap, roots * 32)
    elif root_cluster >= 2:  # noqa: PLR2004  # FAT 6.7: clusters are numbered from 2
        yield Extent(heap + (root_cluster - 2) * per_cluster * sector, min(per_cluster * sector, ROOT_LIMIT))


def _exfat(read: ReadAt) -> Iterator[Extent]:
    """Boot regions (with the dirty flag), the FATs, the root directory's beginning, the allocation bitmap."""
    head = read(0, SECTOR)
    fat_at, fat_sectors, heap_at, _, root_cluster = struct.unpack_from("<IIIII", head, 80)
    sector_shift, cluster_shift, fats = struct.unpack_from("<BBB", head, 108)
    if head[3:11] != b"EXFAT   " or sector_shift not in SHIFTS or fats not in {1, 2}:
        return
    if sector_shift + cluster_shift > MOST_CLUSTER_SHIFT or root_cluster < 2:  # noqa: PLR2004
        return
    cluster: int = 1 << (sector_shift + cluster_shift)

    def place(number: int) -> int:
        return int(heap_at << sector_shift) + (number - 2) * cluster

    root = Extent(place(root_cluster), min(cluster, ROOT_LIMIT))
    yield Extent(0, EXFAT_BOOT_SECTORS << sector_shift)
    for number in range(fats):
        yield Extent((fat_at + number * fat_sectors) << sector_shift, fat_sectors << sector_shift)
    yield root
    entries = read(root.offset, root.length)
    for start in range(0, len(entries) - 31, 32):
        if entries[start] == BITMAP_ENTRY:
            first, length = struct.unpack_from("<IQ", entries, start + 20)
            yield Extent(place(first), length)


def _ext(read: ReadAt) -> Iterator[Extent]:
    """The superblock, where mounting and checking are counted, and the descriptors of all groups."""
    head = read(EXT_SUPERBLOCK, 1024)
    (blocks,) = struct.unpack_from("<I", head, 4)
    first_block, log_block = struct.unpack_from("<II", head, 20)
    (blocks_per_group,) = struct.unpack_from("<I", head, 32)
    (magic,) = struct.unpack_from("<H", head, 56)
    (incompatible,) = struct.unpack_from("<I", head, 96)
    (descriptor,) = struct.unpack_from("<H", head, 254)
    if magic != EXT_MAGIC or log_block > 6 or not blocks_per_group:  # noqa: PLR2004  # blocks of 64 KiB at most
        return
    block = 1024 << log_block
    groups = -(-blocks // blocks_per_group)
    yield Extent(EXT_SUPERBLOCK, 1024)
    yield Extent((first_block + 1) * block, groups * (descriptor if incompatible & EXT_64BIT else 32))
