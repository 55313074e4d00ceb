"""The commands of backup, restore and fixity, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from core.errors import Exit
from sealdock.wiring import Station, run_vaultd

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "passphrase").write_text("a passphrase for one test\n")
    (tmp_path / "sealdock.toml").write_text(
        'vault = "vault"\nstate = "state"\nkeys = "keys"\n[fixity]\nsecond_copy = "copy"\nreserve_mib = 64\n'
    )
    (tmp_path / "footage").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "footage" / name).write_bytes(name.encode() * 30_000)
    return tmp_path


@pytest.fixture
def sealdock(home: Path) -> Run:
    def run(*argv: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "sealdock", "--settings", home / "sealdock.toml", *argv]
        return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def station(home: Path, sealdock: Run) -> Station:
    """Two recordings, sealed; nothing runs any more."""
    made = sealdock(
        "vault", "init", home / "vault", "--keys", home / "keys", "--passphrase-file", home / "passphrase",
        "--recovery-out", home / "recovery.key",
    )  # fmt: skip
    assert made.returncode == Exit.YES, made.stderr
    assert sealdock("db", "upgrade").returncode == Exit.YES
    station = Station.load(home / "sealdock.toml")
    with_vaultd(station, lambda: sealdock("ingest", home / "footage"))
    return station


def with_vaultd(
    station: Station, work: Callable[[], subprocess.CompletedProcess[str]]
) -> subprocess.CompletedProcess[str]:
    stop = Event()
    vaultd = Thread(target=run_vaultd, args=(station, stop))
    vaultd.start()
    try:
        done = work()
    finally:
        stop.set()
        vaultd.join()
    assert done.returncode == Exit.YES, done.stdout + done.stderr
    return done


def test_copy_scrub_damage_repair_drill_and_restore(home: Path, sealdock: Run, station: Station) -> None:
    copy = home / "copy"
    assert sealdock("backup", "status", copy).returncode == Exit.NO
    made = sealdock("backup", "run", copy, "--json")
    assert made.returncode == Exit.YES, made.stderr
    assert json.loads(made.stdout)["objects"] == 2
    assert json.loads(sealdock("backup", "status", copy, "--json").stdout)["is_whole"]

    read = sealdock("fixity", "run", "--all", "--json")
    assert (read.returncode, json.loads(read.stdout)["proven"]) == (Exit.YES, 2)
    state = json.loads(sealdock("fixity", "status", "--json").stdout)
    assert (state["objects"], state["failed"], state["space"]["days_until_full"]) == (2, 0, None)

    (path, _) = sorted(station.vault.path.glob("objects/*/*.chunks"))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert sealdock("fixity", "run", "--all").returncode == Exit.NO
    listed = sealdock("fixity", "list", "--json")
    assert (listed.returncode, json.loads(listed.stdout)[0]["fault"]) == (Exit.NO, "damaged")
    assert json.loads(sealdock("doctor", "--json").stdout)
    mended = sealdock("fixity", "repair", path.stem)
    assert mended.returncode == Exit.YES, mended.stderr
    assert sealdock("fixity", "list").returncode == Exit.YES
    assert sealdock("fixity", "repair", "--all").stdout == "Nothing is damaged.\n"

    report = home / "drill.note"
    drilled = sealdock("backup", "drill", copy, "--keys", home / "recovery.key", "--report", report, "--json")
    assert drilled.returncode == Exit.YES, drilled.stdout + drilled.stderr
    assert json.loads(drilled.stdout)["opened"] == 2
    restored = sealdock("vault", "restore", copy, home / "new")
    assert restored.returncode == Exit.YES, restored.stdout + restored.stderr
    assert sealdock("vault", "restore", copy, home / "new").returncode == Exit.WRONG_USE
    with_vaultd(station, lambda: sealdock("backup", "run", copy))
    types = [leaf.type for leaf in station.reader.leaves()]
    assert (types.count("repair"), types.count("drill"), types.count("refusal")) == (1, 1, 0)
    assert types.count("verify") >= 2


def test_a_restore_says_what_the_copy_lacks_of_a_kept_checkpoint(
    home: Path, sealdock: Run, station: Station
) -> None:
    assert sealdock("backup", "run", home / "copy").returncode == Exit.YES
    (home / "footage" / "c.mp4").write_bytes(b"newer")
    with_vaultd(station, lambda: sealdock("ingest", home / "footage"))
    kept = station.vault.log_path / "checkpoint"
    done = sealdock("vault", "restore", home / "copy", home / "new", "--against", kept)
    assert done.returncode == Exit.NO
    assert "second history" in done.stdout


def test_a_repair_needs_a_copy_and_a_name(home: Path, sealdock: Run, station: Station) -> None:
    assert sealdock("fixity", "repair").returncode == Exit.WRONG_USE
    settings = home / "sealdock.toml"
    settings.write_text(settings.read_text().replace('second_copy = "copy"\n', ""))
    done = sealdock("fixity", "repair", "--all")
    assert (done.returncode, "second copy" in done.stderr) == (Exit.WRONG_USE, True)
    assert station.vault.id
