"""Loop devices that tests attach, and give back as they found them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def attach(image: Path) -> Path:
    """A loop device over `image`; what its number's last user had set read-only is writable again."""
    loop = _said("losetup", "--find", "--show", str(image))
    _said("blockdev", "--setrw", loop)
    return Path(loop)


def detach(loop: Path) -> None:
    """Let go of it. The kernel keeps the write protection of a number for whoever gets it next, so that is lifted."""
    for argv in (["blockdev", "--setrw", str(loop)], ["losetup", "--detach", str(loop)]):
        subprocess.run(argv, check=False, capture_output=True)


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
