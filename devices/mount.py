"""The mount ladder: the kernel first, then a FUSE driver, and a clear sentence when neither can.

Invariants: every rung mounts read-only with nosuid, nodev and noexec, a device that the kernel was told to write to
no more; ext journals are not replayed; only file systems that recorders use are given to a driver, because a driver is
code that trusts its disk. The device is measured before the first driver sees it. A tree that the mount unit made is
used only for the very disk that it was made for: names repeat, and a dead mount lists as empty. A mount that a killed
process left behind is swept at the next start.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from core import log
from devices.block import run
from devices.card_record import ask, read_record
from devices.error import DamagedFileSystemError, NotARecorderFileSystemError, NotMountableError
from devices.unwritten import Untouched, compare, disk_of, measure, whole_disk

SAFE = "ro,nosuid,nodev,noexec"
FILE_SYSTEMS = Path("/proc/filesystems")  # one a line, the name last (proc(5))
KERNEL_OPTIONS = {
    "vfat": f"{SAFE},utf8=1",
    "exfat": f"{SAFE},iocharset=utf8",
    "ext4": f"{SAFE},noload",
    "ext3": f"{SAFE},noload",
    "ext2": SAFE,
}
OWN_PREFIX = "own-"  # directories below `mounts` that this process made, told apart from the mount unit's
_log = log.get(__name__)


@dataclass
class Mount:
    """A mounted, read-only tree, and by what.

    `untouched` measures anew and says what that shows; None where nothing was measured, a plain folder for one.
    """

    root: Path
    transport: str
    _after: Callable[[], None] = field(default=lambda: None, repr=False)
    untouched: Callable[[], Untouched | None] = field(default=lambda: None, repr=False)

    def close(self) -> None:
        """Unmount, lazily when something still holds on; safe to call again."""
        after, self._after = self._after, lambda: None
        after()


@dataclass(frozen=True)
class Rung:
    """One way of mounting: its name in receipts and the program."""

    transport: str
    argv: Callable[[str, Path, Path], list[str]]


def _kernel(kind: str, device: Path, target: Path) -> list[str]:
    return ["mount", "-i", "-t", kind, "-o", KERNEL_OPTIONS[kind], str(device), str(target)]


def _exfat_fuse(_kind: str, device: Path, target: Path) -> list[str]:
    return ["mount.exfat-fuse", "-o", SAFE, str(device), str(target)]


KERNEL = Rung("kernel", _kernel)
LADDER = {
    "exfat": (KERNEL, Rung("exfat-fuse", _exfat_fuse)),
    # no FUSE rung: Debian's fusefat 0.1a dates files a month late and lists the volume label as a file (seen here)
    "vfat": (KERNEL,),
    "ext4": (KERNEL,),
    "ext3": (KERNEL,),
    "ext2": (KERNEL,),
}


def mount_read_only(device: Path, kind: str, mounts: Path, shown: str) -> Mount:
    """Mount a block device below `mounts`. Raises NotARecorderFileSystemError or NotMountableError."""
    if kind not in LADDER:
        raise NotARecorderFileSystemError(device=shown, fs_type=kind or "unknown", allowed=", ".join(LADDER))
    target = mounts / f"{OWN_PREFIX}{token_hex(6)}"
    target.mkdir(mode=0o700, parents=True)
    before = measure(device, kind)
    refusals = []
    for rung in LADDER[kind]:
        refusal = _climb(rung, device, kind, target)
        if refusal is None:
            return Mount(
                target,
                rung.transport,
                lambda: _unmount(target),
                lambda: compare(before, measure(device, kind)),
            )
        refusals.append(f"{rung.transport}: {refusal}")
    target.rmdir()
    raise not_mountable(shown, kind, "; ".join(refusals))


def not_mountable(shown: str, kind: str, why: str) -> NotMountableError:
    """The error of a card that no rung has mounted: with its driver in the kernel, it is the card that is damaged."""
    if is_driven(kind):
        return DamagedFileSystemError(device=shown, fs_type=kind, why=why)
    return NotMountableError(device=shown, fs_type=kind, why=why)


def is_driven(kind: str) -> bool:
    """Whether the kernel has a driver for this file system by now: whoever mounted has asked it to load one."""
    try:
        known = FILE_SYSTEMS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(line.split()[-1:] == [kind] for line in known.splitlines())


def set_read_only(device: Path) -> None:
    """Tell the kernel to write neither to the partition nor to its disk; before any driver sees the card."""
    disk = device.with_name(whole_disk(device.name))
    for node in dict.fromkeys((disk, device)):
        run(["blockdev", "--setro", str(node)], device)


def prepared(mounts: Path, device: Path) -> Mount | None:
    """The tree that the station's mount unit has made ready for this very disk, if it has.

    A tree without a record, or with the record of the disk that had this name before, is not this disk's.
    """
    root, name = mounts / device.name, device.name
    before = read_record(mounts, name)
    if before is None or before.disk != disk_of(name) or not os.path.ismount(root):
        return None
    return Mount(root, "kernel", untouched=lambda: compare(before, ask(mounts, name)))


def is_measured(mounts: Path, device: Path) -> bool:
    """Whether the mount unit has begun with this very disk: it measures a card just before it mounts it."""
    before = read_record(mounts, device.name)
    return before is not None and before.disk == disk_of(device.name)


def sweep(mounts: Path) -> None:
    """Unmount what a killed process of ours left mounted; called once, before anything is plugged."""
    for target in sorted(mounts.glob(f"{OWN_PREFIX}*")):
        _log.info("old mount swept", target=str(target))
        _unmount(target)


def _climb(rung: Rung, device: Path, kind: str, target: Path) -> str | None:
    """None when mounted; otherwise what the rung said."""
    argv = rung.argv(kind, device, target)
    if shutil.which(argv[0]) is None:
        return f"`{argv[0]}` is not installed"
    done = run(argv, device)
    if done.returncode == 0 and target.is_mount():
        return None
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines[0] if lines else f"exit {done.returncode}"


def _unmount(target: Path) -> None:
    if os.path.ismount(target) or _is_dead(target):  # Path.is_mount raises on a dead FUSE mount
        run(["umount", "--lazy", str(target)], target)
    with suppress(OSError):
        target.rmdir()


def _is_dead(target: Path) -> bool:
    """A FUSE mount whose driver has died: it can be neither looked at nor removed until it is unmounted."""
    try:
        target.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
