"""The eraser's unit: started for one exchange, out of reach of everything but the cards and the log."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from core.settings import load
from ingest.erase_line import MODULE, SOCKET

from .conftest import SYSTEMD, verify

MOST_EXPOSED = 2.6  # of 10 (systemd-analyze security): it mounts, and writes where others own


def text_of(unit: str) -> str:
    return (SYSTEMD / f"sealdock-{unit}").read_text(encoding="utf-8")


def test_systemd_accepts_it_without_a_word(station_root: Path) -> None:
    checked = verify(station_root, "sealdock-erase.socket", "sealdock-erase@1.service")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_it_opens_no_more_than_is_written_down() -> None:
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--json=short", "--no-pager",
         f"--threshold={round(MOST_EXPOSED * 10)}", str(SYSTEMD / "sealdock-erase@.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    open_doors = [rule["json_field"] for rule in json.loads(answer.stdout) if rule["set"] is False]
    assert answer.returncode == 0, f"more exposed than {MOST_EXPOSED}: {open_doors}"


def test_it_has_a_mount_namespace_of_its_own_and_opens_no_device_for_writing() -> None:
    unit = text_of("erase@.service")
    assert "PrivateMounts=yes\n" in unit
    assert re.findall(r"^DeviceAllow=(.*)$", unit, re.MULTILINE) == ["block-sd r", "block-mmc r"]
    assert "CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_OVERRIDE\n" in unit


def test_it_reaches_no_key_no_object_and_no_database() -> None:
    hidden = {path for line in re.findall(r"^InaccessiblePaths=(.*)$", text_of("erase@.service"), re.MULTILINE)
              for path in line.split()}  # fmt: skip
    kept = ("objects", "packs", "incoming", "keys")
    assert {f"-/srv/sealdock/vault/{name}" for name in kept} | {
        "-/var/lib/sealdock",
        "-/etc/sealdock/keys",
    } <= hidden


def test_the_dock_looks_where_the_socket_is_and_the_program_is_the_one_that_is_started() -> None:
    mounts = load(SYSTEMD / "sealdock.toml").dock.mounts
    assert f"ListenStream={mounts.parent / SOCKET}\n" in text_of("erase.socket")
    assert f"python -m {MODULE} settings /etc/sealdock/sealdock.toml\n" in text_of("erase@.service")


def test_it_is_not_there_before_somebody_wants_it() -> None:
    assert "sealdock-erase" not in (SYSTEMD / "sealdock.target").read_text(encoding="utf-8")
