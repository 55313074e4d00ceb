from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from core.settings import load

from .conftest import PROGRAMS, SYSTEMD, verify

PROCESSES = ("keyd", "vaultd", "dockd", "worker", "console", "anchord", "sealer")
SERVICES = [f"sealdock-{name}.service" for name in PROCESSES]
# systemd-analyze security: 0 is shut, 10 is wide open; docs/operations/hardening.md says what is open and why
MOST_EXPOSED = {
    "keyd": 0.3,
    "vaultd": 0.9,
    "dockd": 1.2,  # serial lines and cameras
    "worker": 2.0,
    "console": 1.2,
    "anchord": 1.2,
    "sealer": 0.9,
    "card@": 3.9,
}


def directives(unit: str) -> dict[str, list[str]]:
    """Every directive of a unit with its words, lists joined over repeated lines."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (SYSTEMD / unit).read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
            found[match[1]] += match[2].split()
    return found


def words_in(column: int, kind: str) -> set[str]:
    lines = (SYSTEMD / "sysusers.d/sealdock.conf").read_text(encoding="utf-8").splitlines()
    return {line.split()[column] for line in lines if line.startswith(f"{kind} ")}


def test_systemd_accepts_every_unit_without_a_word(station_root: Path) -> None:
    checked = verify(station_root, "sealdock.target", *SERVICES, "sealdock-card@sda1.service")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("PrivateNetwrk=yes", "PrivateNetwrk"),
        ("ExecStartPre=/opt/sealdock/.venv/bin/seeldock", "seeldock"),
        ("SystemCallFilter=@system-servise", "system-servise"),
    ],
)
def test_that_check_would_notice_a_mistake(
    station_root: Path, tmp_path: Path, line: str, complaint: str
) -> None:
    shutil.copytree(station_root, tmp_path / "root", symlinks=True)
    with (tmp_path / "root/etc/systemd/system/sealdock-keyd.service").open("a", encoding="utf-8") as unit:
        unit.write(f"\n[Service]\n{line}\n")
    checked = verify(tmp_path / "root", "sealdock-keyd.service")
    assert complaint in checked.stderr


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_no_unit_opens_more_than_is_written_down(name: str) -> None:
    answer = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--json=short", "--no-pager",
         f"--threshold={round(MOST_EXPOSED[name] * 10)}", str(SYSTEMD / f"sealdock-{name}.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    open_doors = [rule["json_field"] for rule in json.loads(answer.stdout) if rule["set"] is False]
    assert answer.returncode == 0, f"more exposed than {MOST_EXPOSED[name]}: {open_doors}"


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_has_its_own_user_and_no_privilege(name: str) -> None:
    unit = directives(f"sealdock-{name}.service")
    assert unit["User"] == unit["Group"] == [f"sealdock-{name}"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["LimitCORE"] == ["0"]
    assert unit["MemoryMax"]
    assert unit["ExecStart"][-5:] == [
        "/opt/sealdock/.venv/bin/sealdock", "--settings", "/etc/sealdock/sealdock.toml", "run", name,
    ]  # fmt: skip


def test_only_the_writer_of_the_vault_and_the_sealer_have_capabilities() -> None:
    held = {name: directives(f"sealdock-{name}.service")["AmbientCapabilities"] for name in PROCESSES}
    assert {name for name, capabilities in held.items() if capabilities} == {"vaultd", "sealer"}
    assert held["vaultd"] == ["CAP_CHOWN"]
    assert held["sealer"] == ["CAP_LINUX_IMMUTABLE", "CAP_FOWNER", "CAP_DAC_OVERRIDE"]
    assert directives("sealdock-card@.service")["CapabilityBoundingSet"] == ["CAP_SYS_ADMIN"]


def test_only_the_console_and_the_asker_of_outsiders_reach_a_network() -> None:
    families = {name: directives(f"sealdock-{name}.service")["RestrictAddressFamilies"] for name in PROCESSES}
    assert {name for name, f in families.items() if {"AF_INET", "AF_INET6"} & set(f)} == {
        "console",
        "anchord",
    }
    assert {name for name, f in families.items() if "AF_NETLINK" in f} == {"dockd", "worker"}
    alone = {n for n in PROCESSES if directives(f"sealdock-{n}.service")["PrivateNetwork"] == ["yes"]}
    assert alone == {"keyd", "vaultd", "worker", "sealer"}


def test_only_the_worker_makes_namespaces_and_only_it_and_the_dock_open_devices() -> None:
    devices = {
        "worker": ["/dev/fuse", "rw"],
        "dockd": ["char-ttyUSB", "rw", "char-ttyACM", "rw", "char-usb_device", "rw"],
    }
    for name in PROCESSES:
        unit = directives(f"sealdock-{name}.service")
        assert (unit["RestrictNamespaces"] != ["yes"]) == (name == "worker")
        assert unit["DeviceAllow"] == devices.get(name, [])
        assert (unit["PrivateDevices"] != ["yes"]) == (name in devices)


def test_the_card_is_mounted_where_dockd_looks_and_as_closed_as_can_be() -> None:
    unit = (SYSTEMD / "sealdock-card@.service").read_text(encoding="utf-8")
    assert "ro,nosuid,nodev,noexec" in unit
    assert "blockdev --setro" in unit
    assert f"{load(SYSTEMD / 'sealdock.toml').dock.mounts}/%i" in unit
    namespaced = re.findall(r"^(?:Protect|Private|ReadWrite|ReadOnly|Inaccessible)\w+=", unit, re.MULTILINE)
    assert namespaced == [], "a mount namespace would hide the mount from dockd"


def test_every_user_and_group_that_a_unit_names_is_made() -> None:
    users, groups = words_in(1, "u"), words_in(1, "g") | words_in(1, "u")
    members = {tuple(line.split()[1:3]) for line in
               (SYSTEMD / "sysusers.d/sealdock.conf").read_text(encoding="utf-8").splitlines()
               if line.startswith("m ")}  # fmt: skip
    for name in PROCESSES:
        unit = directives(f"sealdock-{name}.service")
        assert unit["User"][0] in users
        assert set(unit["SupplementaryGroups"]) <= groups
        assert {group for user, group in members if user == f"sealdock-{name}"} == set(
            unit["SupplementaryGroups"]
        )


def test_the_example_settings_are_settings_and_name_the_directories_of_the_units() -> None:
    settings = load(SYSTEMD / "sealdock.toml")
    made = (SYSTEMD / "tmpfiles.d/sealdock.conf").read_text(encoding="utf-8").split()
    database = settings.database_url.removeprefix("sqlite:///")
    for path in (settings.keys, settings.run, settings.derived, settings.inbox, settings.dock.mounts,
                 Path(database).parent):  # fmt: skip
        assert str(path) in made
    for name in PROCESSES:
        for path in directives(f"sealdock-{name}.service")["ReadWritePaths"]:
            plain = path.lstrip("-")
            assert plain in made or Path(plain).is_relative_to(settings.vault), path


def test_the_programs_that_units_start_are_those_of_debian() -> None:
    for program in PROGRAMS[1:]:
        assert Path(program).exists()
