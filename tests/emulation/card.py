"""Card images for tests: made from a directory, with the file systems that recorders use.

Nothing of Sealdock is used to make them, so that a mistake in reading cannot hide behind the same mistake here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEBIBYTE = 1024 * 1024


def run(*argv: str) -> str:
    """A program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def make_exfat(image: Path, folder: Path, *, label: str = "BODYCAM") -> Path:
    """An exFAT card (whole disk, no partition table), as most recorders format theirs."""
    _blank(image, size_of(folder) * 11 // 10 + 8 * MEBIBYTE)
    run("mkfs.exfat", "-L", label, str(image))
    with mounted(image, "mount.exfat-fuse") as root:
        _fill(root, folder)
    return image


def make_fat32(image: Path, folder: Path, *, label: str = "BODYCAM") -> Path:
    """A FAT32 card, filled by mtools."""
    _blank(image, max(40 * MEBIBYTE, size_of(folder) * 2))
    run("mkfs.vfat", "-F", "32", "-n", label, str(image))
    for entry in sorted(folder.iterdir()):
        run("mcopy", "-s", "-m", "-i", str(image), str(entry), "::/")
    return image


def make_ext4(image: Path, folder: Path, *, label: str = "BODYCAM") -> Path:
    """An ext4 card: the only one that can hold links, devices and pipes."""
    _blank(image, size_of(folder) * 2 + 8 * MEBIBYTE)
    run("mkfs.ext4", "-q", "-L", label, "-d", str(folder), str(image))
    return image


@contextmanager
def mounted(image: Path, program: str = "mount") -> Iterator[Path]:
    """An image mounted for writing, to put things on it."""
    loop = run("losetup", "--find", "--show", str(image))
    root = image.with_suffix(".mnt")
    root.mkdir()
    try:
        run(program, loop, str(root))
        try:
            yield root
        finally:
            run("umount", str(root))
    finally:
        run("losetup", "--detach", loop)
        root.rmdir()


def _blank(image: Path, size: int) -> None:
    with image.open("wb") as file:
        file.truncate(-(-size // MEBIBYTE) * MEBIBYTE)


def _fill(root: Path, folder: Path) -> None:
    shutil.copytree(folder, root, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for path in sorted(folder.rglob("*")):
        facts = path.stat()
        os.utime(root / path.relative_to(folder), ns=(facts.st_atime_ns, facts.st_mtime_ns))
