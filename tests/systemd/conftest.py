"""The units, laid out below a root of their own so that systemd's tools read them as on a station."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = ROOT / "systemd"
PROGRAMS = (
    "/opt/sealdock/.venv/bin/sealdock", "/bin/sh", "/usr/bin/unshare", "/usr/bin/umount",
    "/usr/bin/mkdir", "/usr/bin/rmdir", "/usr/bin/rm", "/usr/sbin/blockdev",
)  # fmt: skip


@pytest.fixture(scope="session")
def station_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory tree with systemd's own units, ours, and something executable wherever a unit starts it."""
    root = tmp_path_factory.mktemp("station")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in [*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target"), *SYSTEMD.glob("*.socket")]:
        shutil.copy(unit, units)
    for program in (*PROGRAMS, "/opt/sealdock/.venv/bin/python"):
        path = root / program.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n", encoding="ascii")
        path.chmod(0o755)
    return root


def verify(root: Path, *units: str) -> subprocess.CompletedProcess[str]:
    """`systemd-analyze verify` below `root`."""
    return subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=yes", *units],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
