"""The card unit's own mount options, on a card: the dock's user can walk it and nobody can write to it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from emulation.card import make_exfat, run

from devices.tree import Kind, Tree

from .conftest import SYSTEMD

NOBODY = 65534


@pytest.fixture
def mounted_card(tmp_path: Path) -> Iterator[Path]:
    """An exFAT card, mounted with the unit's options for a user that is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount for another user")
    (tmp_path / "card/DCIM/20261123").mkdir(parents=True)
    (tmp_path / "card/DCIM/20261123/a.mp4").write_bytes(b"footage")
    image = make_exfat(tmp_path / "card.img", tmp_path / "card")
    with TemporaryDirectory(prefix="sealdock-card-") as place:
        Path(place).chmod(0o755)  # pytest's own directories are root's alone
        root = Path(place) / "sdb1"
        root.mkdir()
        loop = run("losetup", "--find", "--show", "--read-only", str(image))
        try:
            run("mount.exfat-fuse", "-o", unit_options("exfat"), loop, str(root))
            yield root
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=False)
            run("losetup", "--detach", loop)


def unit_options(kind: str) -> str:
    """What the unit gives to mount -o, with the dock's user by number."""
    unit = (SYSTEMD / "sealdock-card@.service").read_text(encoding="utf-8")
    given = re.search(r"exec mount .* -o (\S+) /dev/%I", unit)
    own = re.search(r"own=(\S+);", unit)
    names = re.search(rf"{kind}\) more=\$own,(\S+) ;;", unit)
    assert given is not None
    assert own is not None
    assert names is not None
    return given[1].replace("$more", f"{own[1]},{names[1]}").replace("sealdock-dockd", str(NOBODY))


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root's powers put away for a moment."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_the_dock_can_walk_and_read_a_card_as_the_unit_mounts_it(mounted_card: Path) -> None:
    with somebody_else():
        tree = Tree(mounted_card)
        found = {entry.path: entry.kind for entry in tree.walk()}
        descriptor = tree.open(b"DCIM/20261123/a.mp4")
        content = os.read(descriptor, 100)
        os.close(descriptor)
        tree.close()
    assert found == {
        b"DCIM": Kind.DIRECTORY, b"DCIM/20261123": Kind.DIRECTORY, b"DCIM/20261123/a.mp4": Kind.FILE,
    }  # fmt: skip
    assert content == b"footage"


def test_the_dock_can_neither_write_nor_execute_there(mounted_card: Path) -> None:
    assert (mounted_card / "DCIM").stat().st_mode & 0o777 == 0o500
    assert (mounted_card / "DCIM/20261123/a.mp4").stat().st_mode & 0o777 == 0o400
    with somebody_else(), pytest.raises(OSError, match=r"Read-only|not permitted|denied"):
        (mounted_card / "DCIM/new").write_bytes(b"")
