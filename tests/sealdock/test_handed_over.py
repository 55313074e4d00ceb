"""Receipts and packages across a handover of the log's key, for somebody who was given the first key only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from crash.house import House, found

from casework.package.bag_check import BagCheck
from casework.package.proof_check import ProofCheck
from casework.package.receipts import ReceiptShelf
from core.errors import Exit
from sealdock.command.receipt import receipt as command
from vault.ceremony.signing import rotate_log
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.note import SigningKey, VerifierKey


@dataclass
class Rotated:
    """A log that two keys signed one after the other, and a receipt under each."""

    house: House
    old: SigningKey
    receipts: tuple[Path, Path]
    package: Path

    @property
    def founding(self) -> VerifierKey:
        return self.old.verifier


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotated]:
    base = tmp_path_factory.mktemp("rotated")
    foundation = found(base)
    house = House(foundation.directory, foundation.identity.recovery_identity)
    old, files = SigningKey.read(house.keys / "log.key"), []
    for name in ("before", "after"):
        if name == "after":
            rotate_log(house.vault, house.keys)
            house = House(house.directory, house.recovery_identity)
        recording = house.ingest(b"what was recorded")
        house.settle()
        files.append(base / name)
        files[-1].write_bytes(house.reader.proof(house.row(recording).entry_index or 0))
    shelf, package = ReceiptShelf(house.reader), base / "package"
    shelf.prove(house.reader.size - 1)
    for member in shelf.members():
        (package / member.path).parent.mkdir(parents=True, exist_ok=True)
        (package / member.path).write_bytes(b"".join(member.open()))
    (package / "bagit.txt").touch()
    (package / "data/checkpoint").write_bytes(shelf.note)
    (package / "data/log-key.txt").write_text(f"{house.vault.verifier.vkey}\n")
    yield Rotated(house, old, (files[0], files[1]), package)
    house.close()


def verify(file: Path, *argv: object) -> int:
    done = CliRunner().invoke(command, ["verify", str(file), *map(str, argv)])
    if isinstance(done.exception, VaultError):
        return int(done.exception.exit_code)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code


def proof(package: Path, key: VerifierKey | None) -> tuple[ProofCheck, list[str]]:
    bag = BagCheck(package)
    bag.sizes = {str(p.relative_to(package)): p.stat().st_size for p in package.rglob("*") if p.is_file()}
    checked = ProofCheck(bag, key)
    return checked, [one.code for one in bag.findings]


def test_the_first_key_leads_to_every_receipt(rotated: Rotated) -> None:
    key, (before, after) = rotated.founding.vkey, rotated.receipts
    assert verify(before, "--key", key) == Exit.YES
    assert verify(after, "--key", key) == Exit.NO
    places = (rotated.house.vault.path, rotated.house.vault.log_path / "handover", rotated.package)
    for place in places:
        for file in (before, after):
            assert verify(file, "--key", key, "--handover", place) == Exit.YES, place
    assert verify(after, "--handover", places[0]) == Exit.WRONG_USE


def test_another_first_key_leads_nowhere(rotated: Rotated, tmp_path: Path) -> None:
    stranger = SigningKey.generate(rotated.old.name).vkey
    for file in rotated.receipts:
        assert verify(file, "--key", stranger, "--handover", rotated.house.vault.path) == Exit.NO
    assert verify(rotated.receipts[1], "--key", rotated.founding.vkey, "--handover", tmp_path) == Exit.NO


@pytest.mark.timeout(20)
def test_a_handover_directory_may_hold_anything(rotated: Rotated, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "7")
    assert verify(rotated.receipts[1], "--key", rotated.founding.vkey, "--handover", tmp_path) == Exit.NO
    (tmp_path / "7").unlink()
    (tmp_path / ("9" * 200)).write_bytes(b"x")
    assert verify(rotated.receipts[1], "--key", rotated.founding.vkey, "--handover", tmp_path) == Exit.NO


def test_a_package_holds_under_the_first_key_and_under_todays(rotated: Rotated) -> None:
    for key in (rotated.founding, rotated.house.vault.verifier, None):
        checked, found = proof(rotated.package, key)
        assert found == []
        assert checked.key == rotated.house.vault.verifier
        assert len(checked.receipts) == 1
    _, found = proof(rotated.package, SigningKey.generate(rotated.old.name).verifier)
    assert {"package.handover", "package.checkpoint"} <= set(found)


def test_a_package_that_an_old_key_signed_later_is_called_a_forgery(rotated: Rotated) -> None:
    path = rotated.package / "data/checkpoint"
    genuine = path.read_bytes()
    path.write_bytes(Checkpoint(rotated.old.name, 10_000, bytes(32)).signed(rotated.old))
    try:
        _, found = proof(rotated.package, rotated.founding)
    finally:
        path.write_bytes(genuine)
    assert "package.superseded" in found
