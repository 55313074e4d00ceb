"""The order in which a real ingest and a real vaultd ask the kernel for durability, as strace sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from crash.house import Foundation, House, found
from crash.traced import FAULTS, TRACED, calls, violations

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


def broken_rules(foundation: Foundation, place: Path, fault: str) -> list[str]:
    house = House.copy(foundation, place / "house")
    house.settle()
    house.close()
    trace = place / "trace"
    subprocess.run(
        ["strace", "-f", "-y", "--seccomp-bpf", "-s", "256", "-o", trace, "-e", f"trace={TRACED}",
         sys.executable, "-m", "crash.traced", house.directory, fault],
        check=True, capture_output=True, timeout=120, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])},
    )  # fmt: skip
    return violations(list(calls(trace)), house.directory)


def test_nothing_is_promised_before_it_is_durable(foundation: Foundation, tmp_path: Path) -> None:
    assert broken_rules(foundation, tmp_path, "none") == []


@pytest.mark.parametrize("fault", FAULTS)
def test_that_check_notices_every_fsync_that_is_taken_out(
    foundation: Foundation, tmp_path: Path, fault: str
) -> None:
    assert broken_rules(foundation, tmp_path, fault)
