"""sysusers.d, tmpfiles.d and adopt.conf, carried out below a root of their own by systemd's own programs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from .conftest import SYSTEMD

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    (tmp_path / "etc/group").write_text("root:x:0:\n", encoding="ascii")
    apply("systemd-sysusers", tmp_path, SYSTEMD / "sysusers.d/sealdock.conf")
    apply("systemd-tmpfiles", tmp_path, "--create", SYSTEMD / "tmpfiles.d/sealdock.conf")
    return tmp_path


def apply(program: str, root: Path, *arguments: str | Path) -> None:
    subprocess.run([program, f"--root={root}", *arguments], check=True, capture_output=True)


def owners(root: Path, path: str) -> tuple[str, str, str]:
    """Mode, user and group, by the names of that root."""
    found = (root / path).stat()
    names = {}
    for kind in ("passwd", "group"):
        rows = (line.split(":") for line in (root / "etc" / kind).read_text(encoding="utf-8").splitlines())
        names[kind] = {int(row[2]): row[0] for row in rows}
    return f"{stat.S_IMODE(found.st_mode):o}", names["passwd"][found.st_uid], names["group"][found.st_gid]


def test_a_user_per_process_without_a_shell(root: Path) -> None:
    lines = (root / "etc/passwd").read_text(encoding="utf-8").splitlines()
    ours = [line.split(":") for line in lines if line.startswith("sealdock-")]
    assert {row[0] for row in ours} == {
        f"sealdock-{n}" for n in ("keyd", "vaultd", "dockd", "worker", "console", "anchord", "sealer")
    }
    assert {row[-1] for row in ours} == {"/usr/sbin/nologin"}


@pytest.mark.parametrize(
    ("path", "mode", "user", "group"),
    [
        ("etc/sealdock/keys", "710", "root", "sealdock"),
        ("var/lib/sealdock/database", "2770", "root", "sealdock-db"),
        ("var/lib/sealdock/derived", "2750", "sealdock-worker", "sealdock-objects"),
        ("var/lib/sealdock/run", "3770", "root", "sealdock"),
        ("run/sealdock/mounts", "755", "root", "root"),
    ],
)
def test_directories_belong_to_whom_the_design_says(
    root: Path, path: str, mode: str, user: str, group: str
) -> None:
    assert owners(root, path) == (mode, user, group)


def test_what_root_made_is_handed_over(root: Path) -> None:
    vault = root / "srv/sealdock/vault"
    for directory in (
        "objects/7z",
        "packs",
        "incoming",
        "log/tile/0",
        "keys/slots",
        "keys/buckets/A-2026-11",
    ):
        (vault / directory).mkdir(parents=True)
    made = {
        "srv/sealdock/vault/objects/7z/x.chunks": ("440", "sealdock-vaultd", "sealdock-objects"),
        "srv/sealdock/vault/log/tile/0/000": ("440", "sealdock-vaultd", "sealdock"),
        "srv/sealdock/vault/keys/slots/000": ("640", "sealdock-vaultd", "sealdock"),
        "srv/sealdock/vault/keys/buckets/A-2026-11/identity.age": ("440", "root", "sealdock-buckets"),
        "srv/sealdock/vault/keys/root.recipient": ("440", "root", "sealdock"),
        "srv/sealdock/vault/vault.json": ("440", "root", "sealdock"),
        "etc/sealdock/keys/root.age": ("400", "sealdock-keyd", "sealdock-keyd"),
        "etc/sealdock/keys/log.key": ("400", "sealdock-vaultd", "sealdock-vaultd"),
        "etc/sealdock/keys/console.key": ("400", "sealdock-console", "sealdock-console"),
        "var/lib/sealdock/database/sealdock.db": ("660", "root", "sealdock-db"),
    }
    for path, (mode, _, _) in made.items():
        (root / path).write_bytes(b"x")
        (root / path).chmod(0o640 if mode == "660" else int(mode, 8))
    apply("systemd-tmpfiles", root, "--create", SYSTEMD / "adopt.conf")
    assert {path: owners(root, path) for path in made} == made
    assert owners(root, "srv/sealdock/vault/incoming") == ("2770", "sealdock-dockd", "sealdock-objects")
    assert owners(root, "srv/sealdock/vault/objects/7z") == ("2750", "sealdock-vaultd", "sealdock-objects")
    assert owners(root, "srv/sealdock/vault/keys/buckets") == ("2770", "root", "sealdock-buckets")


def test_adopting_twice_changes_nothing_and_a_bare_station_is_no_error(root: Path) -> None:
    apply("systemd-tmpfiles", root, "--create", SYSTEMD / "adopt.conf")
    before = sorted(str(path) for path in root.rglob("*"))
    apply("systemd-tmpfiles", root, "--create", SYSTEMD / "adopt.conf")
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_systemd_is_there() -> None:
    assert shutil.which("systemd-sysusers")
    assert shutil.which("systemd-tmpfiles")
