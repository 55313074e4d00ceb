"""A vault from its founding to its second machine, by the commands of docs/operations and by nothing else."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from support.authority import Authority
from support.operator import Operator

from core.errors import Exit

NEW_PASSPHRASE = "another horse battery"
VERIFY = ("vault", "verify", "vault", "--key", "bureau.key")


@pytest.mark.stock
def test_a_vault_lives_through_damage_rotation_and_the_loss_of_its_machine(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    more = f'[[anchor.authorities]]\nname = "stamper"\nroots = "{authority.place}/roots.pem"\n'
    station = Operator.at(tmp_path / "s", more)
    place = station.place
    station.found()
    with station.running("keyd", "vaultd"):
        recording = _sealed(station)
        shutil.copyfile(place / "vault/log/checkpoint", place / "kept.checkpoint")
        station.run("vault", "prove", recording, "--out", "then.tlog-proof")
        _anchored(station, authority)
        _copied_although_killed(station)
        _mended(station, recording)
        station.run("backup", "drill", "copy", "--keys", "recovery.key", "--report", "drill.note")
        station.run(*VERIFY, "--report", "report.note", "--log")
    _rotated(station)
    station.run(
        *VERIFY, "--keys", "recovery.key", "--against", "kept.checkpoint", "--against", "then.tlog-proof"
    )
    station.run("receipt", "verify", "then.tlog-proof", "--key", "bureau.key")
    _moved(station, tmp_path / "t")
    station.close()


def _sealed(station: Operator) -> str:
    card = station.place / "card" / "DCIM"
    card.mkdir(parents=True)
    (card / "X1A0123060123_20261120091500_00.MP4").write_bytes(b"footage" * 50_000)
    return station.run("ingest", "card", "--officer", "060123").split()[1]


def _anchored(station: Operator, authority: Authority) -> None:
    """By files: what an authority signed is taken, what nobody asked for is not."""
    assert "no outside evidence" in station.run("anchor", "status", code=Exit.NO)
    station.run("anchor", "request", "stick")
    query = station.place / "stick" / "stamper.tsq"
    query.with_suffix(".tsr").write_bytes(authority.answer(query.read_bytes()))
    station.run("anchor", "accept", "stick/stamper.tsr")
    assert "stamper" in station.run("anchor", "status")
    station.run("anchor", "check")


def _copied_although_killed(station: Operator) -> None:
    station.run("backup", "status", "copy", code=Exit.NO)
    cut_short = station.start("backup", "run", "copy")
    deadline = time.monotonic() + 30
    while not (station.place / "copy").exists() and cut_short.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cut_short.kill()
    cut_short.wait()
    station.run("backup", "run", "copy")
    assert "0 behind" in station.run("backup", "status", "copy")


def _mended(station: Operator, recording: str) -> None:
    """A flipped bit is found by a reading and by the verifier, and mended from the copy."""
    [path] = (station.place / "vault" / "objects").rglob(f"{recording}.chunks")
    path.chmod(0o640)
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)
    station.run("fixity", "run", "--all", "--budget-mib-s", "500", code=Exit.NO)
    assert recording in station.run("fixity", "list", code=Exit.NO)
    station.run(*VERIFY, code=Exit.NO)
    assert "mended" in station.run("fixity", "repair", recording, "--from", "copy")
    station.run(*VERIFY)


def _rotated(station: Operator) -> None:
    """Every kind of key; the station stands still meanwhile."""
    (station.place / "new").write_text(f"{NEW_PASSPHRASE}\n", encoding="utf-8")
    station.run("key", "rotate", "root", "--old-secret-file", "passphrase", "--new-secret-file", "new")
    station.run("key", "rotate", "process", "worker")
    station.run("key", "rotate", "log")
    station.run("key", "compromise", "dockd", "--since", "now")
    assert "NOT BELIEVED" in station.run("key", "list")
    (station.place / "new").replace(station.place / "passphrase")


def _moved(station: Operator, to: Path) -> None:
    """The machine is gone: another one comes back from the copy, the keys and the recovery key, and goes on."""
    with station.running("keyd", "vaultd"):
        station.run("backup", "run", "copy")
    other = Operator.at(to)
    for name in ("bureau.key", "recovery.key", "passphrase"):
        shutil.copyfile(station.place / name, to / name)
    shutil.copytree(station.place / "keys", to / "keys")
    checkpoint = station.place / "copy/vault/log/checkpoint"
    other.run(
        "vault", "restore", station.place / "copy", "vault", "--keys", "recovery.key", "--against", checkpoint
    )
    other.run("db", "upgrade")
    other.run("vault", "reindex", "--recovery", "recovery.key")
    (to / "card").mkdir()
    (to / "card" / "note.txt").write_text("sealed on the new machine", encoding="utf-8")
    with other.running("keyd", "vaultd"):
        assert "1 sealed" in other.run("ingest", "card")
    other.run(*VERIFY, "--keys", "recovery.key", "--against", checkpoint)
    other.run("vault", "restore", station.place / "copy", "vault", code=Exit.WRONG_USE)
    other.close()
