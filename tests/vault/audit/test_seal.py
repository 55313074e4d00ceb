"""What lies beside the log may be anything: the verifier neither waits for it nor swallows it whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.small_vault import BUCKET, SmallVault, found

from vault.audit.verify import verify_vault

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    made.add(original=b"what was recorded", fields={"n": 1})
    made.write()
    return made


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    os.truncate(path, 2**40)


PLACES = {
    "keys/slots/000": "verify.slot",
    f"keys/buckets/{BUCKET}/recipient": "verify.bucket",
    f"keys/buckets/{BUCKET}/identity.age": "verify.bucket",
}


@pytest.mark.parametrize("damage", [pipe, endless, huge])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_or_has_no_end_is_named(
    vault: SmallVault, place: str, damage: Callable[[Path], None]
) -> None:
    damage(vault.path / place)
    found_codes = {finding.code for finding in verify_vault(vault.path, vault.verifier).failures}
    assert PLACES[place] in found_codes


@pytest.mark.parametrize("damage", [pipe, endless])
def test_a_pack_or_an_object_that_is_no_file_is_named(
    vault: SmallVault, damage: Callable[[Path], None]
) -> None:
    damage(vault.path / "packs/000")
    damage(vault.object_path(2))
    failures = verify_vault(vault.path, vault.verifier).failures
    assert {finding.code for finding in failures} == {"verify.pack", "verify.object"}


def test_a_slot_file_that_is_longer_than_its_entries_is_named(vault: SmallVault) -> None:
    path = vault.path / "keys/slots/000"
    path.write_bytes(path.read_bytes().ljust(256 * 512, b"\0"))
    assert verify_vault(vault.path, vault.verifier).ok  # room for the rest of the bundle
    path.write_bytes(path.read_bytes() + b"\0")
    first = verify_vault(vault.path, vault.verifier).failures[0]
    assert (first.code, first.file) == ("verify.slot", "keys/slots/000")
    assert "more than the 131072 bytes" in first.why
