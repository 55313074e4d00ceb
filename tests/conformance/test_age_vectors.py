"""The published vectors of age, each by the error it must give (tests/vectors/README.md says whose they are)."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from core.digest import sha256_hex
from vault.formats.age import (
    NONCE_SIZE,
    HeaderError,
    HeaderMacError,
    Identity,
    NoMatchError,
    PayloadError,
    PayloadReader,
    decrypt_file,
    header_for,
    open_header,
    payload_key,
    seal_payload,
    split_header,
)

VECTORS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "cctv_age.json").read_text()
)
EXPECTED = {
    "no match": NoMatchError,
    "header failure": HeaderError,
    "HMAC failure": HeaderMacError,
    "payload failure": PayloadError,
}
pytestmark = pytest.mark.stock


def age_file(vector: dict[str, Any]) -> bytes:
    raw = b64decode(vector["file"])
    return zlib.decompress(raw) if vector.get("compressed") == "zlib" else raw


def test_all_of_them_are_here() -> None:
    assert len(VECTORS) == 67
    assert {vector["expect"] for vector in VECTORS.values()} == {"success", *EXPECTED}


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_in_memory(name: str) -> None:
    vector = VECTORS[name]
    identity, blob = Identity.parse(vector["identity"]), age_file(vector)
    if vector["expect"] == "success":
        assert sha256_hex(decrypt_file(identity, blob)) == vector["payload"]
        return
    with pytest.raises(EXPECTED[vector["expect"]]) as caught:
        decrypt_file(identity, blob)
    assert (vector["expect"] == "HMAC failure") == isinstance(caught.value, HeaderMacError)


STREAMS = sorted(n for n, v in VECTORS.items() if v["expect"] in {"success", "payload failure"})


@pytest.mark.parametrize("name", STREAMS)
def test_through_the_random_access_reader(name: str, tmp_path: Path) -> None:
    vector = VECTORS[name]
    header, rest = split_header(age_file(vector))
    file_key = open_header(header, Identity.parse(vector["identity"]))
    path = tmp_path / name
    path.write_bytes(rest)
    if vector["expect"] == "success":
        with PayloadReader.open(path, file_key, rest[:NONCE_SIZE], start=NONCE_SIZE) as reader:
            assert sha256_hex(reader.read()) == vector["payload"]
        return
    with pytest.raises(PayloadError):  # noqa: SIM117  # opening or reading, whichever sees it first
        with PayloadReader.open(path, file_key, rest[:NONCE_SIZE], start=NONCE_SIZE) as reader:
            reader.read()


@pytest.mark.parametrize("name", [name for name in STREAMS if VECTORS[name]["expect"] == "success"])
def test_sealing_gives_the_same_bytes(name: str) -> None:
    vector = VECTORS[name]
    header, rest = split_header(age_file(vector))
    identity = Identity.parse(vector["identity"])
    file_key = open_header(header, identity)
    assert file_key.hex() == vector["file key"]
    plaintext = decrypt_file(identity, age_file(vector))
    assert seal_payload(file_key, rest[:NONCE_SIZE], plaintext) == rest[NONCE_SIZE:]
    assert len(payload_key(file_key, rest[:NONCE_SIZE])) == 32
    assert open_header(header_for([identity.recipient], file_key), identity) == file_key
