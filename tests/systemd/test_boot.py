"""The units at work: a machine is booted (systemd-nspawn over this one's files, all changes in memory), a station is
installed in it as docs/operations/install.md says, and an emulated recorder is docked between the real sandboxes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SYSTEMD

PROCESSES = ("keyd", "vaultd", "dockd", "worker", "console", "anchord", "sealer")
CHOWN, DAC_OVERRIDE, FOWNER, LINUX_IMMUTABLE = 1 << 0, 1 << 1, 1 << 3, 1 << 9  # linux/capability.h
PACKAGES = (
    "core", "vault", "devices", "firmware_profiles", "media", "ingest", "casework", "webconsole", "sealdock", "systemd",
)  # fmt: skip
LAUNCHER = """#!/opt/sealdock/.venv/bin/python
import sys
sys.path.insert(0, "/opt/sealdock")
from sealdock.cli import main
main()
"""
PYTHON_AT_HOME = f"""[Service]
ProtectHome=tmpfs
BindReadOnlyPaths={sys.base_prefix}
"""  # a developer's interpreter may lie in a home; a station's lies in /usr
PROBE = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
TimeoutStartSec=150
ExecStart=/bin/bash /station/station.sh
ExecStopPost=/bin/systemctl --force poweroff
"""


def stage(place: Path) -> list[str]:
    """Lay out what the machine needs below `place`; the options that show it there."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program, station = place / "opt", place / "station"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, program / package, ignore=shutil.ignore_patterns("__pycache__"))
    binaries, packages = program / ".venv/bin", program / f".venv/lib/{version}/site-packages"
    binaries.mkdir(parents=True)
    packages.mkdir(parents=True)
    (program / ".venv/pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n", encoding="utf-8")
    (binaries / "python").symlink_to(f"{sys.base_prefix}/bin/{version}")
    (binaries / "sealdock").write_text(LAUNCHER, encoding="ascii")
    (binaries / "sealdock").chmod(0o755)
    (station / "out").mkdir(parents=True)
    (place / "srv").mkdir(mode=0o755)
    shutil.copy(Path(__file__).with_name("station.sh"), station)
    _card(station)
    units = place / "units"
    units.mkdir()
    (units / "probe.service").write_text(PROBE, encoding="ascii")
    (units / "sealdock-.service.d").mkdir()
    (units / "sealdock-.service.d/python.conf").write_text(PYTHON_AT_HOME, encoding="utf-8")
    installed = Path(sys.prefix) / f"lib/{version}/site-packages"
    interpreter = [] if sys.base_prefix == "/usr" else [f"--bind-ro={sys.base_prefix}"]
    return [
        f"--bind-ro={program}:/opt/sealdock",
        f"--bind-ro={installed}:/opt/sealdock/.venv/lib/{version}/site-packages",
        f"--bind={station}:/station",
        f"--bind={place / 'srv'}:/srv",  # a real disk under the vault, for O_DIRECT and leases
        f"--bind-ro={units}:/usr/local/lib/systemd/system",
        "--bind=/dev/fuse",
        *interpreter,
    ]  # fmt: skip


def _card(station: Path) -> None:
    """Settings with one bay, and a recorder that holds one short film."""
    settings = (SYSTEMD / "sealdock.toml").read_text(encoding="utf-8")
    settings = settings.replace('unregistered = "ask"', 'unregistered = "take"', 1)
    mounts = 'mounts = "/run/sealdock/mounts"\n'
    bay = 'emulation = "/srv/plugs"\n\n[[dock.bays]]\nnumber = 1\npath = "pci-0000:00:14.0-usb-0:3"\n'
    (station / "sealdock.toml").write_text(settings.replace(mounts, mounts + bay, 1), encoding="utf-8")
    folder = station / "plugs/card/DCIM/100MEDIA"
    folder.mkdir(parents=True)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10", "-t", "2", "-pix_fmt",
         "yuv420p", folder / "MOVI0001.MP4"],
        check=True,
    )  # fmt: skip
    plug = {
        "id_path": "pci-0000:00:14.0-usb-0:3", "serial": "E1", "vendor": "1234", "product": "5678",
        "directory": "/srv/plugs/card",
    }  # fmt: skip
    (station / "recorder.json").write_text(json.dumps(plug), encoding="ascii")


BOOT = 'mount --bind / "$0" && exec systemd-nspawn --directory="$0" "$@"'
LONGEST_S = 200  # the machine ends itself after 150


def boot(root: Path, *options: str, unit: str) -> subprocess.CompletedProcess[str]:
    """Boot over a view of this machine's root; whatever it changes goes with its memory."""
    root.mkdir()
    command = [
        "timeout", str(LONGEST_S), "unshare", "--mount", "sh", "-c", BOOT, str(root),
        "--quiet", "--volatile=overlay", "--register=no", "--keep-unit",
        "--link-journal=no", "--capability=all", *options, "--boot", f"systemd.unit={unit}",
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LONGEST_S + 30, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def saw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the station's script wrote down."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None or not Path("/dev/fuse").exists():
        pytest.skip("booting a machine needs root, systemd-nspawn (Debian: systemd-container) and /dev/fuse")
    place = tmp_path_factory.mktemp("machine")
    ended = boot(place / "root", *stage(place), unit="probe.service")
    flags = subprocess.run(["lsattr", "-R", place / "srv"], capture_output=True, text=True, check=False)
    subprocess.run(
        ["chattr", "-R", "-f", "-i", "-a", place / "srv"], check=False
    )  # or nobody could clear up here
    (place / "station/out/flags").write_text(flags.stdout, encoding="utf-8")
    out = place / "station/out"
    if not (out / "log").exists():
        pytest.skip(f"no machine can be booted here: {(ended.stdout + ended.stderr)[-300:]}")
    return out


def read(saw: Path, name: str) -> str:
    path = saw / name
    assert path.exists(), (saw / "log").read_text(encoding="utf-8")[-3000:]
    return path.read_text(encoding="utf-8")


@pytest.fixture
def status(saw: Path) -> dict[str, dict[str, str]]:
    lines = {name: read(saw, f"status-{name}").splitlines() for name in PROCESSES}
    return {name: dict(line.split(":\t", 1) for line in rows) for name, rows in lines.items()}


def test_a_recorder_is_sealed_between_the_sandboxes(saw: Path) -> None:
    bays = json.loads(read(saw, "dock"))["bays"]
    assert [(bay["number"], bay["state"], bay["files_done"]) for bay in bays] == [(1, "sealed", 1)]
    assert json.loads(read(saw, "verify"))["failures"] == []


def test_nothing_crashed_and_nothing_was_refused(saw: Path) -> None:
    for name in PROCESSES:
        journal = read(saw, f"journal-{name}")
        assert "NRestarts=0" in read(saw, f"show-{name}"), journal
        assert "Traceback" not in journal
    assert "Result=success" in read(saw, "stopped")
    assert set(read(saw, "stopped").split()) == {"Result=success", "ExecMainStatus=0"}


def test_the_console_answers(saw: Path) -> None:
    assert read(saw, "console").strip() == "200"


def test_media_was_indexed_between_the_walls(saw: Path) -> None:
    journal = read(saw, "journal-worker")
    assert "job done" in journal
    assert "waits" not in journal, journal
    assert re.search(r"sealdock-worker sealdock-objects f derived/.*\.age", read(saw, "tree"))


def test_every_process_is_another_user_filtered_and_without_new_privileges(
    status: dict[str, dict[str, str]],
) -> None:
    users = {name: facts["Uid"].split()[0] for name, facts in status.items()}
    assert len(set(users.values())) == len(PROCESSES)
    assert "0" not in users.values()
    assert {facts["NoNewPrivs"] for facts in status.values()} == {"1"}
    assert {facts["Seccomp"] for facts in status.values()} == {"2"}


def test_only_vaultd_and_the_sealer_have_capabilities_on_this_machine(
    status: dict[str, dict[str, str]],
) -> None:
    effective = {name: int(facts["CapEff"], 16) for name, facts in status.items() if name != "worker"}
    assert effective == {
        "keyd": 0,
        "vaultd": CHOWN,
        "dockd": 0,
        "console": 0,
        "anchord": 0,
        "sealer": LINUX_IMMUTABLE | FOWNER | DAC_OVERRIDE,
    }  # worker's hold in its own namespace


def test_files_are_within_reach_of_those_who_need_them_and_nobody_else(saw: Path) -> None:
    reach = set(read(saw, "reach").splitlines())

    def who(verb: str, what: str) -> set[str]:
        return {line.split()[0] for line in reach if line.split()[1:] == [verb, what]}

    assert who("reads", "OBJECT") == {"vaultd", "worker", "console", "sealer"}
    assert who("writes", "OBJECT") == set()
    assert who("writes", "SLOTS") == {"vaultd"}
    assert who("reads", "BUCKET") == {"keyd", "vaultd", "dockd", "worker", "sealer"}
    assert who("writes", "BUCKET") == set()
    assert who("reads", "DERIVED") == {"worker", "console", "vaultd", "sealer"}
    assert who("writes", "/srv/sealdock/vault/log/checkpoint") == {"vaultd"}
    assert who("writes", "/var/lib/sealdock/database/sealdock.db") == {
        "vaultd", "dockd", "worker", "console", "anchord", "sealer",
    }  # fmt: skip
    assert who("reads", "/etc/sealdock/keys/root.age") == {"keyd"}
    assert who("reads", "/etc/sealdock/keys/log.key") == {"vaultd"}
    for name in ("vaultd", "dockd", "worker", "console", "anchord", "sealer"):
        assert who("reads", f"/etc/sealdock/keys/{name}.key") == {name}
    assert who("reads", "/etc/sealdock/keys/bureau.key") == set()
    assert {line for line in reach if "writes /etc/" in line} == set()


def test_what_is_sealed_is_immutable(saw: Path) -> None:
    flags = dict(
        reversed(line.split(maxsplit=1)) for line in read(saw, "flags").splitlines() if ".chunks" in line
    )
    assert len(flags) == 1
    assert all("i" in flag for flag in flags.values())
