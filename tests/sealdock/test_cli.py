from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import Exit


def sealdock(*argv: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sealdock", *map(str, argv)],
        input=stdin, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A vault made by the command line, and the key that it printed."""
    home = tmp_path_factory.mktemp("station")
    (home / "passphrase").write_text("a passphrase for one test\n")
    done = sealdock(
        "vault", "init", home / "vault", "--keys", home / "keys", "--passphrase-file", home / "passphrase",
        "--recovery-out", home / "recovery.key",
    )  # fmt: skip
    assert done.returncode == Exit.YES, done.stderr
    key = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("key "))
    return home, key


def test_help_names_every_group() -> None:
    text = sealdock("--help").stdout
    for group in (
        "vault",
        "receipt",
        "package",
        "profile",
        "dock",
        "doctor",
        "user",
        "db",
        "keyd",
        "run",
        "ingest",
        "anchor",
        "witness",
        "key",
        "retention",
        "hold",
        "dispose",
        "approver",
        "backup",
        "fixity",
    ):
        assert f"\n  {group} " in text


def test_init_prints_what_a_person_must_keep(made: tuple[Path, str]) -> None:
    home, key = made
    assert key.startswith("sealdock/")
    assert not list((home / "vault").rglob("*AGE-SECRET-KEY*"))


def test_init_never_goes_over_something(made: tuple[Path, str]) -> None:
    home, _ = made
    done = sealdock(
        "vault", "init", home / "vault", "--keys", home / "k2", "--passphrase-file", home / "passphrase"
    )
    assert done.returncode == Exit.WRONG_USE
    assert "not empty" in done.stderr


def test_verify_says_yes_only_under_a_key_from_outside(made: tuple[Path, str]) -> None:
    home, key = made
    assert sealdock("vault", "verify", home / "vault", "--key", key).returncode == Exit.YES
    alone = sealdock("vault", "verify", home / "vault")
    assert alone.returncode == Exit.CANNOT
    assert "nothing here confirms" in alone.stdout


def test_verify_reports_as_json(made: tuple[Path, str]) -> None:
    home, key = made
    report = json.loads(sealdock("vault", "verify", home / "vault", "--key", key, "--json").stdout)
    assert report["ok"] is True
    assert report["checkpoint"]["size"] > 1


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sealdock.toml"
    path.write_text('vault = "v"\nstate = "s"\nkeys = "k"\n[dock]\nbaays = []\n')
    done = sealdock("--settings", path, "dock", "status")
    assert done.returncode == Exit.WRONG_USE
    assert "dock.baays: there is no such setting" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_settings_file_is_a_sentence(tmp_path: Path) -> None:
    done = sealdock("--settings", tmp_path / "none.toml", "dock", "status")
    assert done.returncode == Exit.WRONG_USE
    assert "none.toml" in done.stderr


def test_a_daemon_refuses_to_start_without_a_vault(tmp_path: Path) -> None:
    path = tmp_path / "sealdock.toml"
    path.write_text('vault = "v"\nstate = "s"\nkeys = "k"\n')
    assert sealdock("--settings", path, "db", "upgrade").returncode == Exit.YES
    done = sealdock("--settings", path, "run", "vaultd")
    assert done.returncode == Exit.CANNOT
    assert "vault init" in done.stderr


def test_a_receipt_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.tlog-proof"
    path.write_bytes(b"\xff\x00nonsense")
    done = sealdock("receipt", "verify", path)
    assert done.returncode != Exit.YES
    assert "not a receipt" in done.stderr


def test_the_doctor_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "sealdock.toml"
    path.write_text('vault = "v"\nstate = "s"\nkeys = "k"\n')
    done = sealdock("--settings", path, "doctor", "--json")
    assert done.returncode == Exit.NO
    unwell = {finding["subject"] for finding in json.loads(done.stdout) if not finding["well"]}
    assert {"vault", "database", "key process", "bays"} <= unwell
