"""The udev rule, carried out by udev's own engine over a small /sys of our making (in a mount namespace)."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import SYSTEMD

ROOT_HUB = "devices/pci0000:00/0000:00:14.0/usb2"
PORT = f"{ROOT_HUB}/2-3"
DISK = f"{PORT}/2-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb"
LINE = f"{PORT}/2-3:1.1/ttyUSB0/tty/ttyUSB0"
INSIDE_ROOT = """
set -e
mount --make-rprivate /
mount --bind "$1/sys" /sys
mount --bind "$1/run" /run/udev
mount --bind "$1/rules" /usr/lib/udev/rules.d
touch "$1/dev/null"
mount --bind /dev/null "$1/dev/null"
mount --rbind "$1/dev" /dev
mount --bind "$1/etc" /etc
export SYSTEMD_DEVICE_VERIFY_SYSFS=0
shift
for device in "$@"; do echo "== $device"; udevadm test --action=add "/sys/$device" 2>&1; done
"""


@dataclass
class Udev:
    """A tree of devices and what udev makes of it under our rule."""

    place: Path

    def device(self, path: str, subsystem: str, uevent: str = "") -> None:
        """Add one device; parents come first."""
        folder = self.place / "sys" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "uevent").write_text(uevent, encoding="ascii")
        kind = "class" if subsystem == "block" else "bus"
        target = self.place / "sys" / kind / subsystem
        target.mkdir(parents=True, exist_ok=True)
        (folder / "subsystem").symlink_to(f"/sys/{kind}/{subsystem}")

    def settings(self, text: str) -> None:
        """What stands in /etc/sealdock/sealdock.toml."""
        (self.place / "etc/sealdock/sealdock.toml").write_text(text, encoding="utf-8")

    def properties(self, fs_type: str = "vfat") -> dict[str, str]:
        """Plug everything in and give back what the partition's event says."""
        (self.place / "rules/60-storage.rules").write_text(
            f'SUBSYSTEM=="block", ENV{{ID_FS_USAGE}}="filesystem", ENV{{ID_FS_TYPE}}="{fs_type}"\n',
            encoding="ascii",
        )
        self.said = self._run(ROOT_HUB, PORT, DISK, f"{DISK}/sdb1", LINE)
        return self.of(f"{DISK}/sdb1")

    def of(self, device: str) -> dict[str, str]:
        """What the event of one device says."""
        last = self.said.split(f"== {device}\n")[1].split("\n== ")[0]
        return dict(line.split("=", 1) for line in last.splitlines() if re.fullmatch(r"[A-Z_0-9]+=.*", line))

    def _run(self, *devices: str) -> str:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        ran = subprocess.run(
            ["unshare", "--mount", *user, "sh", "-c", INSIDE_ROOT, "sh", str(self.place), *devices],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode:
            pytest.skip(f"this machine gives no mount namespace: {ran.stderr.strip()}")
        return ran.stdout


@pytest.fixture
def udev(tmp_path: Path) -> Udev:
    for folder in ("sys", "run", "rules", "dev", "etc/sealdock"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/group").write_text("sealdock-dockd:x:990:\n", encoding="ascii")
    (tmp_path / "etc/nsswitch.conf").write_text("group: files\n", encoding="ascii")
    (tmp_path / "rules/70-sealdock.rules").write_bytes((SYSTEMD / "70-sealdock.rules").read_bytes())
    made = Udev(tmp_path)
    made.device("devices/pci0000:00/0000:00:14.0", "pci")
    made.device(ROOT_HUB, "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=128\nDEVNAME=bus/usb/002/001\n")
    (tmp_path / "sys" / ROOT_HUB / "speed").write_text("5000\n", encoding="ascii")
    (tmp_path / "sys" / ROOT_HUB / "interface_authorized_default").write_text("1\n", encoding="ascii")
    made.device(PORT, "usb", "DEVTYPE=usb_device\nMAJOR=189\nMINOR=133\nDEVNAME=bus/usb/002/006\n")
    made.device(f"{PORT}/2-3:1.0", "usb", "DEVTYPE=usb_interface\n")
    made.device(f"{PORT}/2-3:1.0/host6", "scsi", "DEVTYPE=scsi_host\n")
    made.device(f"{PORT}/2-3:1.0/host6/target6:0:0", "scsi", "DEVTYPE=scsi_target\n")
    made.device(f"{PORT}/2-3:1.0/host6/target6:0:0/6:0:0:0", "scsi", "DEVTYPE=scsi_device\n")
    made.device(DISK, "block", "DEVTYPE=disk\nMAJOR=8\nMINOR=16\nDEVNAME=sdb\n")
    made.device(f"{DISK}/sdb1", "block", "DEVTYPE=partition\nMAJOR=8\nMINOR=17\nDEVNAME=sdb1\n")
    (tmp_path / "sys" / DISK / "sdb1" / "partition").write_text("1\n", encoding="ascii")
    made.device(f"{PORT}/2-3:1.1", "usb", "DEVTYPE=usb_interface\n")
    made.device(f"{PORT}/2-3:1.1/ttyUSB0", "usb-serial")
    made.device(LINE, "tty", "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0\n")
    made.settings('[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usb-0:3"\n')
    return made


@pytest.mark.parametrize("fs_type", ["vfat", "exfat", "ext4"])
def test_a_card_in_a_mapped_bay_asks_for_its_mount_unit(udev: Udev, fs_type: str) -> None:
    found = udev.properties(fs_type)
    assert found["SYSTEMD_WANTS"] == "sealdock-card@sdb1.service"
    assert found["UDISKS_IGNORE"] == "1"
    assert ":systemd:" in found["TAGS"]


@pytest.mark.parametrize(
    "settings",
    [
        "",
        'bureau = ""\n',
        '[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usb-0:31"\n',
        '[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usb-0:3.1"\n',
        '[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14x0-usb-0:3"\n',
    ],
)
def test_a_card_in_any_other_port_is_left_alone(udev: Udev, settings: str) -> None:
    udev.settings(settings)
    found = udev.properties()
    assert "SYSTEMD_WANTS" not in found
    assert "UDISKS_IGNORE" not in found


@pytest.mark.parametrize("fs_type", ["ntfs", "btrfs", "iso9660"])
def test_a_file_system_that_no_recorder_uses_is_kept_from_desktops_and_not_mounted(
    udev: Udev, fs_type: str
) -> None:
    found = udev.properties(fs_type)
    assert "SYSTEMD_WANTS" not in found
    assert found["UDISKS_IGNORE"] == "1"


def test_udev_has_nothing_to_say_against_the_rule(udev: Udev) -> None:
    udev.properties()
    complaints = [
        line for line in udev.said.splitlines()
        if "70-sealdock.rules" in line and re.search(r"[Ii]nvalid|[Ii]gnoring|[Ff]ailed|unknown", line)
    ]  # fmt: skip
    assert complaints == []


def test_that_check_would_notice_a_mistake(udev: Udev) -> None:
    with (udev.place / "rules/70-sealdock.rules").open("a", encoding="ascii") as rule:
        rule.write('SUBSYSTEM=="block", ENV{X}=="1", TAGG+="sealdock-bay"\n')
    udev.properties()
    assert re.search(r"70-sealdock\.rules:\d+ .*TAGG", udev.said)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ('[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usbv3-0:3"\n', True),
        ('[[dock.bays]]\nnumber = 1\npath = "x"\nalso = ["pci-0000:00:14.0-usbv3-0:3"]\n', True),
        ('[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usbv2-0:3"\n', False),
        ('[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usbv3-0:31"\n', False),
    ],
)
def test_a_bay_that_names_the_bus_speed_is_that_socket_and_not_the_other(
    udev: Udev, settings: str, *, expected: bool
) -> None:
    udev.settings(settings)
    found = udev.properties()
    assert ("SYSTEMD_WANTS" in found) is expected


def default_of(udev: Udev) -> str:
    return (
        (udev.place / "sys" / ROOT_HUB / "interface_authorized_default").read_text(encoding="ascii").strip()
    )


def test_the_controller_of_a_bay_lets_no_new_interface_in_by_itself(udev: Udev) -> None:
    udev.properties()
    assert default_of(udev) == "0"


@pytest.mark.parametrize("settings", ["", '[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:1a.0-usb-0:3"\n'])
def test_a_controller_without_bays_is_left_as_it_is(udev: Udev, settings: str) -> None:
    udev.settings(settings)
    udev.properties()
    assert default_of(udev) == "1"


def test_the_disk_is_set_read_only_as_it_comes_and_a_line_belongs_to_the_dock(udev: Udev) -> None:
    udev.properties()
    runs = re.findall(r"(?:RUN.*|run: ').*blockdev --setro (\S+?)'?$", udev.said, re.MULTILINE)
    assert {"/dev/sdb", "/dev/sdb1"} <= set(runs) or "blockdev --setro" in udev.said
    line = udev.of(LINE)
    assert line["ID_MM_DEVICE_IGNORE"] == "1"
