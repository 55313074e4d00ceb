"""A disposal as people carry it out: by commands and real processes, a year after the recording was sealed.

Nothing is called but the command line and stock `age`; the year passes by libfaketime. Every key that is left is tried
on headers as somebody might have copied them the day before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from support.operator import FAKETIME, Operator

from core.errors import Exit

NAME = "X1A0123060123_20261120091500_00.MP4"
CONTENT = b"what nobody needs any more" * 4000
PEOPLE = {"zhou": "custodian", "feng": "legal_reviewer"}
HEADER_BYTES = 184  # header and nonce of an age file in a key slot (docs/formats/packs-and-slots.md)

pytestmark = [
    pytest.mark.stock,
    pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed"),
]


def test_two_people_let_a_recording_go_by_the_command_line(tmp_path: Path) -> None:
    """D39"""
    station = Operator.at(tmp_path / "s")
    station.has_own_clock = True
    station.found()
    with station.running("keyd", "vaultd", "sealer"):
        recording = _sealed(station)
        leaf, index = _receipt(station.place / "then.tlog-proof")
        stolen = _stolen(station.place / "vault", leaf, index)
        station.run("backup", "run", "copy")
        station.set_clock("+365d")
        assert recording in station.run("dispose", "preview")
        dispose = _disposed(station, recording)
        station.wait_until(
            lambda: station.json("dispose", "certificate", dispose)["acts"], "the sealer erased it"
        )
        station.run("dispose", "close", leaf["object"]["bucket"], "--copy", "copy/vault")
        station.run("backup", "run", "copy")
        certificate = station.json("dispose", "certificate", dispose)
        said = station.run("dispose", "certificate", dispose)
        station.run("dispose", "certificate", dispose, "--html", "certificate.html")

    [row] = certificate["recordings"]
    assert (row["state"], row["buckets_left"]) == ("unreadable", [])
    assert row["sha256"] == leaf["object"]["sha256"]
    assert {key["account"] for key in certificate["approvals"]} == _approvers(station)
    assert recording in said
    assert row["sha256"] in (station.place / "certificate.html").read_text(encoding="utf-8")

    for vault in ("vault", "copy/vault"):  # both are as the log says, and neither has anything that opens it
        station.run("vault", "verify", vault, "--key", "bureau.key", "--against", "then.tlog-proof")
        assert list((station.place / vault / "objects").rglob("*.chunks")) == []
        assert not any(_slot(station.place / vault, index))
    assert "is on the log" in station.run("receipt", "verify", "then.tlog-proof", "--key", "bureau.key")
    _nobody_opens(station, stolen)
    station.close()


def _sealed(station: Operator) -> str:
    """A recording, its receipt, two people and a schedule."""
    card = station.place / "card" / "DCIM"
    card.mkdir(parents=True)
    (card / NAME).write_bytes(CONTENT)
    recording = station.run("ingest", "card", "--officer", "060123").split()[1]
    station.run("receipt", "keep", recording, "--out", "then.tlog-proof")
    station.run("retention", "begin")
    for name, role in PEOPLE.items():
        (station.place / name).write_text(f"{name} alone knows this\n", encoding="utf-8")
        words = ("--name", name, "--role", role, "--password-file", "passphrase")
        station.run("user", "add", name, *words)
        station.run("approver", "enrol", name, "--passphrase-file", name)
    return recording


def _disposed(station: Operator, recording: str) -> str:
    """Propose, sign twice, submit; one signature is not enough. Gives the id of the entry."""
    station.run("dispose", "propose", recording, "--basis", "保存期限届满", "--out", "request.json")
    for name in PEOPLE:
        words = ("--as", name, "--passphrase-file", name, "--out", f"{name}.json")
        station.run("approver", "sign", "request.json", *words)
    one = ("dispose", "submit", "request.json", "--as", "zhou", "--approval", "zhou.json")
    assert "1 of 2 approvals" in station.run(*one, code=Exit.NO)
    return station.run(*one, "--approval", "feng.json").split("entry ")[1].split(".")[0]


def _approvers(station: Operator) -> set[str]:
    return {row["account"] for row in station.json("approver", "list")}


def _receipt(path: Path) -> tuple[dict[str, Any], int]:
    """The entry and its index, as a tlog-proof has them."""
    lines = dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()[1:3])
    return json.loads(b64decode(lines["extra"])), int(lines["index"])


def _slot(vault: Path, index: int) -> bytes:
    raw = (vault / "keys" / "slots" / "000").read_bytes()
    return raw[index * 512 + 256 :][:HEADER_BYTES]


def _stolen(vault: Path, leaf: dict[str, Any], index: int) -> bytes:
    """The recording as an age file, copied the day before; stock `age` opens it with what is there then."""
    [stored] = (vault / "objects").rglob(f"{leaf['id']}.chunks")
    file = _slot(vault, index) + stored.read_bytes()
    identity = vault / "keys" / "buckets" / leaf["object"]["bucket"] / "identity.age"
    bucket = _age(vault.parent / "recovery.key", identity.read_bytes())
    (vault.parent / "bucket.key").write_bytes(bucket)
    assert _age(vault.parent / "bucket.key", file) == CONTENT
    (vault.parent / "bucket.key").unlink()
    return file


def _nobody_opens(station: Operator, stolen: bytes) -> None:
    """Try the recovery key, and every bucket that the machine or the copy still has, with stock `age`."""
    tried = [station.place / "recovery.key"]
    for vault in ("vault", "copy/vault"):
        for place in (station.place / vault / "keys" / "buckets").glob("[A-Za-z]*"):
            key = station.place / f"{len(tried)}.key"
            key.write_bytes(_age(station.place / "recovery.key", (place / "identity.age").read_bytes()))
            tried.append(key)
    assert len(tried) > 1
    for key in tried:
        with pytest.raises(subprocess.CalledProcessError):
            _age(key, stolen)


def _age(key: Path, sealed: bytes) -> bytes:
    age = shutil.which("age")
    assert age, "script/bootstrap test installs age"
    return subprocess.run(
        [age, "-d", "-i", str(key)], input=sealed, capture_output=True, check=True, timeout=30
    ).stdout
