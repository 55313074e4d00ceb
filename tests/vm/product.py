"""The product as the guest sees it: the checkout and its Python packages on a read-only disk.

Invariants: the disk is found by the digest of what is on it, so a changed line of code is never tested in its old
form; the packages are those of this environment, wheels with their compiled parts included, which is why the guest's
Python must be the same minor version. (Over 9p each import cost a hundred round trips of an emulated machine.)
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache as once
from hashlib import sha256
from pathlib import Path

from vm.hardware import PRODUCT_BYTES
from vm.image import GUEST
from vm.place import CHECKOUT, LabError, cache, forming, program

OURS = (
    "core",
    "vault",
    "devices",
    "firmware_profiles",
    "media",
    "ingest",
    "casework",
    "webconsole",
    "sealdock",
)
NOT_NEEDED = (  # what only developers use, by the size of what it would cost
    "*mypyc*", "_pytest", "grimp", "hypothesis", "mypy", "mypyc", "pip", "playwright", "pygments", "pyrage", "ruff*",
    "setuptools", "__pycache__",
)  # fmt: skip


@once
def digest() -> str:
    """Of every file of ours by content, and of the packages by their versions; one process tests one product."""
    whole = sha256((GUEST / "forge.py").read_bytes() + Path(__file__).read_bytes())
    for name in OURS:
        for path in sorted((CHECKOUT / name).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                whole.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    packages = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    whole.update("\0".join(packages).encode())
    return whole.hexdigest()[:16]


def product_disk(path: Path) -> None:
    """Write the disk to `path`. Raises LabError."""
    with forming("disk", cache()) as staged:
        packages, ours = staged / "packages", staged / "checkout"
        shutil.copytree(
            sysconfig.get_path("purelib"), packages, ignore=_leave_out(Path(sysconfig.get_path("purelib")))
        )
        for name in OURS:
            shutil.copytree(CHECKOUT / name, ours / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(GUEST / "forge.py", staged)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # the digest above has checked already
        compileall.compile_dir(ours, quiet=2, invalidation_mode=mode, stripdir=str(staged))
        _format(path, staged)


def _leave_out(top: Path) -> Callable[[str, list[str]], set[str]]:
    everywhere = shutil.ignore_patterns("*.pyi", "tests")
    at_top = shutil.ignore_patterns(*NOT_NEEDED)

    def chosen(folder: str, names: list[str]) -> set[str]:
        return everywhere(folder, names) | (at_top(folder, names) if Path(folder) == top else set())

    return chosen


def _format(path: Path, staged: Path) -> None:
    with path.open("wb") as blank:
        blank.truncate(PRODUCT_BYTES)
    argv = [
        program("mke2fs") or "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-d",
        str(staged),
        str(path),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the product's disk cannot be written: {done.stderr[-500:]}")
