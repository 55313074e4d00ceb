"""The units of the bays: who may authorise, who may mount, who may measure, and none of them more."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from core.settings import load
from devices.card import MOUNTS
from devices.card_record import SOCKET

from .conftest import SYSTEMD, verify

# systemd-analyze security: 0 is shut, 10 is wide open
MOST_EXPOSED = {"authorise": 1.5, "card-answer@": 1.0}


def text_of(unit: str) -> str:
    return (SYSTEMD / f"sealdock-{unit}").read_text(encoding="utf-8")


def test_systemd_accepts_them_without_a_word(station_root: Path) -> None:
    checked = verify(
        station_root, "sealdock-authorise.service", "sealdock-card-answer.socket", "sealdock-card@sda1.service",
        "sealdock-card-answer@1.service",
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_none_opens_more_than_is_written_down(name: str) -> None:
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--json=short", "--no-pager",
         f"--threshold={round(MOST_EXPOSED[name] * 10)}", str(SYSTEMD / f"sealdock-{name}.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    open_doors = [rule["json_field"] for rule in json.loads(answer.stdout) if rule["set"] is False]
    assert answer.returncode == 0, f"more exposed than {MOST_EXPOSED[name]}: {open_doors}"


@pytest.mark.parametrize("unit", ["authorise.service", "card-answer@.service"])
def test_only_the_unit_that_mounts_may_mount(unit: str) -> None:
    assert "CapabilityBoundingSet=\n" in text_of(unit)
    assert "CapabilityBoundingSet=CAP_SYS_ADMIN\n" in text_of("card@.service")


def test_block_devices_are_opened_for_reading_only() -> None:
    for unit in ("card@.service", "card-answer@.service"):
        allowed = re.findall(r"^DeviceAllow=(.*)$", text_of(unit), re.MULTILINE)
        assert allowed == ["block-sd r", "block-mmc r"]
    assert "DeviceAllow" not in text_of("authorise.service")


def test_the_gate_can_write_to_sysfs_and_cannot_read_a_key() -> None:
    unit = text_of("authorise.service")
    assert "ProtectKernelTunables" not in unit.replace("no ProtectKernelTunables", "")
    assert "InaccessiblePaths=-/srv/sealdock -/var/lib/sealdock -/etc/sealdock/keys" in unit


def test_the_socket_and_the_records_are_where_the_dock_looks() -> None:
    mounts = load(SYSTEMD / "sealdock.toml").dock.mounts
    assert mounts == MOUNTS
    socket = text_of("card-answer.socket")
    assert f"ListenStream={mounts.parent / SOCKET}\n" in socket
    for line in ("SocketUser=root", "SocketGroup=sealdock-dockd", "SocketMode=0660", "Accept=yes"):
        assert f"{line}\n" in socket


def test_a_card_is_measured_before_it_is_mounted() -> None:
    unit = text_of("card@.service")
    steps = [unit.index(step) for step in ("blockdev --setro", "devices.card before %I", "exec mount")]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("kind", "option"),
    [("vfat", "utf8=1"), ("exfat", "iocharset=utf8"), ("ext4|ext3", "noload"), ("ext2", "ro")],
)
def test_every_kind_has_its_own_options_and_no_other_is_mounted(kind: str, option: str) -> None:
    unit = text_of("card@.service")
    assert re.search(rf"{re.escape(kind)}\) more=(?:\$own,)?{option} ;;", unit)
    assert '*) echo "$kind is not mounted"' in unit
