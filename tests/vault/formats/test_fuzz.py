"""Every parser of outside bytes, fed with what is broken, cut, foreign or made up: VaultError, and no other exception.

Each parser gets a true example that hypothesis harms (a bit turned, bytes cut out, doubled, put in, taken from another
format) and bytes that were never anything. What it accepts it must accept again in the form it gives out itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conformance.small_vault import BUCKET, SmallVault, found
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.authority import Authority

from core.canonical import CanonicalError, decode
from vault.audit.earlier import read_earlier
from vault.audit.head import read_head
from vault.audit.policy import check_policy
from vault.audit.report import Report
from vault.audit.resume import load_state
from vault.error import VaultError
from vault.formats import bech32, timestamp
from vault.formats.age import Identity, Recipient, decrypt_file, encrypt_file, open_header, split_header
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.cosignature import CosignerKey, CosignerSigningKey, Kind, cosignatures
from vault.formats.entry import Leaf, unpack_bundle
from vault.formats.handover import follow
from vault.formats.merkle import DirectoryTiles, inclusion_proof, tree_root
from vault.formats.note import Note, SigningKey, VerifierKey, open_note
from vault.formats.pack import BodyPacks, KeySlots
from vault.formats.payload import open_payload
from vault.formats.proof import Proof, Receipt
from vault.store.objects import Vault

EXAMPLES = 150


class Material:
    """One true example of every format."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.vault: SmallVault = found(place / "vault")
        self.vault.add(original=b"what was recorded", fields={"name": "a.mp4"})
        self.vault.write()
        self.old = self.vault.hand_over()
        self.identity, self.witness = self.vault.root, CosignerSigningKey.generate("witness", Kind.ED25519)
        log = self.vault.path / "log"
        self.checkpoint = (log / "checkpoint").read_bytes()
        size = len(self.vault.leaves)
        hashes = inclusion_proof(DirectoryTiles(log, size), 2, size)
        self.receipt = Receipt.build(self.vault.leaves[2], 2, hashes, self.checkpoint).raw()
        authority = Authority(place / "authority")
        self.roots = authority.roots
        self.stamp = authority.answer(timestamp.query(self.checkpoint).raw)
        text = Note.parse(self.checkpoint).text
        self.cosigned = self.checkpoint + self.witness.line(text, datetime.now(UTC))
        self.bundle = next((log / "tile/entries").rglob("4")).read_bytes()
        self.tile = next((log / "tile/0").rglob("4"))
        self.handover = next((log / "handover").iterdir()).read_bytes()
        self.age = encrypt_file([self.identity.recipient, Identity.generate().recipient], b"x" * 100)

    def examples(self) -> list[bytes]:
        """All of them: a foreign format is the likeliest mistake."""
        return [
            self.checkpoint, self.receipt, self.roots, self.stamp, self.cosigned, self.bundle, self.tile.read_bytes(),
            self.handover, self.age, self.vault.leaves[2].canonical(), (self.vault.path / "vault.json").read_bytes(),
            (self.vault.path / "packs/000").read_bytes(), self.identity.text.encode(), self.vault.log_key.vkey.encode(),
        ]  # fmt: skip


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("material"))


@st.composite
def harmed(draw: st.DrawFn, raw: bytes, others: list[bytes]) -> bytes:
    """`raw` after one to three accidents, or something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.one_of(st.binary(max_size=200), st.sampled_from(others)))
    broken = bytearray(raw)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(broken) - 1)))
        length = draw(st.integers(1, 40))
        match draw(st.integers(0, 5)):
            case 0 if broken:
                broken[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del broken[place:]
            case 2:
                del broken[place : place + length]
            case 3:
                broken[place:place] = draw(st.binary(min_size=1, max_size=40))
            case 4:
                broken[place:place] = broken[place : place + length]
            case _:
                broken[place : place + length] = draw(st.sampled_from(others))[:length]
    return bytes(broken)


def in_file(parse: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A parser of files as a parser of bytes."""

    def parse_bytes(raw: bytes) -> object:
        with tempfile.NamedTemporaryFile() as file:
            file.write(raw)
            file.flush()
            return parse(Path(file.name))

    return parse_bytes


def in_place(vault: SmallVault, name: str, parse: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A parser of a vault of which one file is harmed."""
    path = vault.path / name
    kept = path.read_bytes()

    def parse_bytes(raw: bytes) -> object:
        path.write_bytes(raw)
        try:
            return parse(vault.path)
        finally:
            path.write_bytes(kept)

    return parse_bytes


def refusal(parse: Callable[[bytes], object], raw: bytes) -> VaultError | None:
    """Why `raw` was refused; None when it was taken. Any other exception is the failure that this module looks for."""
    try:
        parse(raw)
    except VaultError as error:
        return error
    return None


def text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text as a parser of bytes; what no text can be comes as the letters Latin-1 has for it."""
    return lambda raw: parse(raw.decode("latin-1"))


def parsers(m: Material) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """By name: a true example and what reads it."""
    leaf, key, path = m.vault.leaves[2], m.vault.verifier, m.vault.path
    slot, pack = m.vault.private[2][1], (path / "packs/000").read_bytes()
    file_key = open_header(slot[:168], m.vault.buckets[BUCKET])
    tile = str(m.tile.relative_to(path))
    trusted = timestamp.load_roots(m.roots)
    return {
        "age header": (m.age, split_header),
        "age slot": (slot[:168], lambda raw: open_header(raw, m.identity)),
        "age file": (m.age, lambda raw: decrypt_file(m.identity, raw)),
        "age payload": (m.vault.object_path(2).read_bytes(), lambda raw: open_payload(file_key, slot[168:], raw)),
        "identity": (m.identity.text.encode(), text(Identity.parse)),
        "recipient": (m.identity.recipient.text.encode(), text(Recipient.parse)),
        "bech32": (m.identity.recipient.text.encode(), text(bech32.decode)),
        "note": (m.checkpoint, Note.parse),
        "signed note": (m.checkpoint, lambda raw: open_note(raw, [key])),
        "verifier key": (key.vkey.encode(), text(VerifierKey.parse)),
        "signing key": (m.vault.log_key.private_text.encode(), text(SigningKey.parse)),
        "signing key file": (m.vault.log_key.private_text.encode(), in_file(SigningKey.read)),
        "checkpoint text": (m.checkpoint.split(b"\n\n")[0] + b"\n", text(Checkpoint.parse)),
        "checkpoint": (m.checkpoint, lambda raw: parse_checkpoint(raw, key)),
        "cosignature": (m.cosigned, lambda raw: cosignatures(raw, [m.witness.verifier])),
        "cosigner key": (m.witness.vkey.encode(), text(CosignerKey.parse)),
        "proof": (m.receipt, Proof.parse),
        "receipt": (m.receipt, lambda raw: Receipt.parse(raw).examine(key)),
        "receipt unchecked": (m.receipt, lambda raw: Receipt.parse(raw).examine()),
        "handover": (m.handover, lambda raw: follow(m.old.verifier, [raw])),
        "timestamp": (m.stamp, timestamp.parse),
        "timestamp verified": (m.stamp, lambda raw: timestamp.verify(raw, m.checkpoint, trusted)),
        "certificates": (m.roots, timestamp.load_roots),
        "entry": (leaf.canonical(), Leaf.parse),
        "bundle": (m.bundle, lambda raw: [Leaf.parse(one) for one in unpack_bundle(raw)]),
        "tile": (m.tile.read_bytes(), in_place(m.vault, tile, lambda at: tree_root(DirectoryTiles(at / "log", 4), 4))),
        "pack": (pack, in_place(m.vault, "packs/000", lambda at: BodyPacks(at / "packs").body(2))),
        "slots": (b"", in_place(m.vault, "keys/slots/000", lambda at: KeySlots(at / "keys/slots").object_slot(2))),
        "vault.json": ((path / "vault.json").read_bytes(), in_place(m.vault, "vault.json", Vault.open)),
        "head": ((path / "vault.json").read_bytes(), in_place(m.vault, "vault.json", _head)),
        "policy": ((path / "log/policy").read_bytes(), in_place(m.vault, "log/policy", lambda at: _policy(at, key))),
        "kept": (m.receipt, in_file(lambda at: read_earlier(at, [key]))),
        "page": (b"a page\n" + m.checkpoint, in_file(lambda at: read_earlier(at, [key]))),
        "state": (b'{"v":1}', in_file(lambda at: load_state(at, Checkpoint("a", 1, bytes(32)), []))),
    }  # fmt: skip


def _head(directory: Path) -> object:
    return read_head(directory, None, Report(""))


def _policy(directory: Path, key: VerifierKey) -> None:
    check_policy(directory, [key], Report(""))


NAMES = [
    "age header", "age slot", "age file", "age payload", "identity", "recipient", "bech32", "note", "signed note",
    "verifier key", "signing key", "signing key file", "checkpoint text", "checkpoint", "cosignature", "cosigner key",
    "proof", "receipt", "receipt unchecked", "handover", "timestamp", "timestamp verified", "certificates", "entry",
    "bundle", "tile", "pack", "slots", "vault.json", "head", "policy", "kept", "page", "state",
]  # fmt: skip


def test_every_parser_is_on_the_list(material: Material) -> None:
    assert set(NAMES) == set(parsers(material))


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_knows_one_family_of_errors(name: str, material: Material) -> None:
    example, parse = parsers(material)[name]
    others = material.examples()

    @given(st.data())
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    def feed(data: st.DataObject) -> None:
        refused = refusal(parse, data.draw(harmed(example, others)))
        if refused is not None:
            assert refused.code.startswith("vault.")
            assert str(refused)

    feed()


@given(st.binary(max_size=300))
@settings(max_examples=EXAMPLES)
def test_canonical_json_knows_one_error(raw: bytes) -> None:
    with suppress(CanonicalError):
        assert isinstance(decode(raw), dict)
