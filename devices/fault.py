"""Read errors that the kernel counts for a disk, also those that a file system keeps to itself.

Linux's vfat passes over directory sectors that it cannot read: the listing is short and no call fails. The
SCSI layer under it counts every command that ended badly, and that count cannot be talked away. Devices that
keep no count (loop devices, network folders) give None: there is nothing to compare.
"""

from __future__ import annotations

import os
from pathlib import Path

BLOCK_DEVICES = Path("/sys/dev/block")  # sysfs: one link for each block device, named major:minor
COUNT = "device/ioerr_cnt"  # Documentation/ABI: hexadecimal, since the disk was attached


def error_count(device: int) -> int | None:
    """Commands that failed so far on the disk which holds `device` (st_dev); None where nobody counts."""
    node = BLOCK_DEVICES / f"{os.major(device)}:{os.minor(device)}"
    try:
        place = node.resolve(strict=True)
        disk = place.parent if (place / "partition").exists() else place
        return int((disk / COUNT).read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        return None
