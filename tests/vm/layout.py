"""A machine's directory before it is switched on: its data disk, its product's disk, the folder that it shares."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from vm import hardware, product
from vm.hardware import Plan
from vm.place import program

LAID_WITHIN_S = 60


def blank_data_disk(path: Path) -> Path:
    """A formatted data disk; nothing is written for what is empty."""
    with path.open("wb") as blank:
        blank.truncate(hardware.DATA_BYTES)
    subprocess.run(
        [program("mke2fs") or "mke2fs", "-q", "-t", "ext4", "-L", "data", str(path)],
        check=True,
        timeout=LAID_WITHIN_S,
    )
    return path


def lay_out(
    directory: Path, state: Path | None, data: Path | None = None, forwards: Mapping[int, int] | None = None
) -> Plan:
    """Lay out a new machine's directory; the product's disk is the one that the saved state has seen."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "hand").mkdir(parents=True)
    if state and (state / "data.img").exists():
        data = data or directory / "data.img"
        subprocess.run(
            ["cp", "--sparse=always", str(state / "data.img"), str(data)], check=True, timeout=LAID_WITHIN_S
        )
    elif data is None:
        data = blank_data_disk(directory / "data.img")
    disk = (state or directory) / "product.ext4"
    if not disk.exists():
        disk = directory / "product.ext4"
        with disk.open("wb") as blank:
            blank.truncate(hardware.PRODUCT_BYTES)
    return Plan(directory.resolve(), data.resolve(), disk.resolve(), forwards or {})


def lay_product(base: Path, disk: Path) -> None:
    """The disk that `base` has seen, or a new one where it has seen none."""
    seen = base / "product.ext4"
    if seen.exists():
        disk.hardlink_to(seen)  # written once, read ever after
    else:
        product.product_disk(disk)
