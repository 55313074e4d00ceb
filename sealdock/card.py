"""A recorder's memory card as an image file, with the file system that recorders use (exFAT).

Where the image cannot be filled here (no FUSE), there is no image: the demo says so and the dock reads the plain
folder through the emulation transport.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

SLACK_BYTES = 32 << 20  # room for the file table and clusters
TIMEOUT_S = 60


def make_card(image: Path, folder: Path, label: str) -> bool:
    """Make `image` an exFAT card holding `folder`; False, and no image, where this machine cannot."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) + SLACK_BYTES
    with image.open("wb") as blank:
        blank.truncate(-(-size // (1 << 20)) << 20)
    if _output("mkfs.exfat", "-L", label, str(image)) is not None and _fill(image, folder):
        return True
    image.unlink()
    return False


def _fill(image: Path, folder: Path) -> bool:
    device = _output("losetup", "--find", "--show", str(image))
    if device is None:
        return False
    _output("blockdev", "--setrw", device)  # the number keeps what its last user had set
    with TemporaryDirectory(prefix="sealdock-card-") as mountpoint:
        try:
            if _output("mount.exfat-fuse", device, mountpoint) is None:
                return False
            try:
                shutil.copytree(folder, mountpoint, dirs_exist_ok=True, copy_function=shutil.copyfile)
            finally:
                unmounted = _output("umount", mountpoint)
            return unmounted is not None
        finally:
            _output("losetup", "--detach", device)


def _output(*argv: str) -> str | None:
    """What the program printed; None when it is missing or failed."""
    program = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        return None
    done = subprocess.run(
        [program, *argv[1:]], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
