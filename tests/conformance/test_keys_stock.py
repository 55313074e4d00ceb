"""Rotation and handover, checked as docs/operations/keys.md says, with programs that none of us wrote."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash.house import BUCKET, House, found

from core.settings import RootKind
from vault.ceremony.extra import make_extra, sm2_cosigner
from vault.ceremony.reading import rotate_root
from vault.ceremony.session import Ceremony
from vault.ceremony.signing import rotate_log
from vault.formats.age import Identity
from vault.formats.handover import read_handovers
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt
from vault.formats.sm2 import Sm2Key
from vault.store.root_kind import RootPlace

pytestmark = pytest.mark.stock
Program = Callable[..., subprocess.CompletedProcess[bytes]]
_ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 section 4


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House.copy(found(tmp_path / "founded"), tmp_path / "house")
    yield house
    house.close()


def check_ed25519(run: Program, place: Path, key: VerifierKey, note: bytes) -> int:
    """`openssl pkeyutl -verify` over a note's text with the line of `key`."""
    parsed = Note.parse(note)
    [line] = [signature for signature in parsed.signatures if key.made(signature)]
    (place / "key.der").write_bytes(_ED25519_SPKI + key.public)
    (place / "text").write_bytes(parsed.text.encode())
    (place / "signature").write_bytes(line.raw)
    done = run(
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", place / "key.der", "-keyform", "DER", "-rawin",
        "-in", place / "text", "-sigfile", place / "signature",
    )  # fmt: skip
    return done.returncode


def test_openssl_accepts_both_signatures_of_a_handover(house: House, tmp_path: Path, run: Program) -> None:
    old = house.vault.verifier
    new = rotate_log(house.vault, house.keys).verifier
    [raw] = read_handovers(house.vault.path)
    note = Receipt.parse(raw).proof.checkpoint_note
    assert [check_ed25519(run, tmp_path, key, note) for key in (old, new)] == [0, 0]
    lines = raw.decode().splitlines()
    entry = json.loads(b64decode(lines[1].removeprefix("extra ")))
    assert entry["facts"] == {"name": old.name, "vkey": new.vkey, "permits": []}


def test_age_opens_footage_through_a_bucket_that_was_wrapped_anew(
    house: House, tmp_path: Path, run: Program
) -> None:
    """Root file, bucket, key slot, object: `age` alone, as the walk-through in docs/formats does it."""
    entry = house.ingest(b"footage" * 1000)
    house.settle()
    index = house.row(entry).entry_index
    assert index is not None
    place = RootPlace(RootKind.CREDENTIAL)
    recovery = Identity.parse(house.recovery_identity or "")
    with Ceremony(house.vault, house.keys) as ceremony:
        rotate_root(ceremony, lambda: recovery, place, b"")
    wrapped = house.vault.keys_path / "buckets" / BUCKET / "identity.age"
    bucket = run("age", "-d", "-i", house.keys / "root.credential", wrapped)
    assert bucket.returncode == 0, bucket.stderr
    (tmp_path / "bucket.key").write_bytes(bucket.stdout)
    slot = house.vault.slots.object_slot(index)
    assert slot
    (tmp_path / "footage.age").write_bytes(slot + house.vault.object_path(entry).read_bytes())
    opened = run("age", "-d", "-i", tmp_path / "bucket.key", tmp_path / "footage.age")
    assert opened.stdout == b"footage" * 1000


def test_openssl_accepts_the_sm2_line_of_a_checkpoint(house: House, tmp_path: Path, run: Program) -> None:
    _, vkey = make_extra(house.keys, house.vault, "sm2")
    signer = sm2_cosigner(house.keys, house.vault)
    assert signer
    house.case()
    daemon = house.vaultd(cosigners=[signer])
    daemon.start()
    daemon.step()
    daemon.close()
    note = (house.vault.log_path / "checkpoint").read_bytes()
    assert check_ed25519(run, tmp_path, house.vault.verifier, note) == 0
    key = Sm2Key.parse(vkey)
    [line] = [signature for signature in Note.parse(note).signatures if key.made(signature)]
    (tmp_path / "sm2.pem").write_text(key.pem)
    (tmp_path / "sm2.signature").write_bytes(line.raw)
    done = run(
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "sm2.pem", "-rawin", "-in", tmp_path / "text",
        "-digest", "sm3", "-pkeyopt", "distid:1234567812345678", "-sigfile", tmp_path / "sm2.signature",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert house.verify().ok
