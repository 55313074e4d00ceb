"""A vault written from docs/formats/vault-layout.md with none of the code that writes real ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from core.canonical import encode
from core.clock import new_id
from core.digest import sha256_hex
from vault.formats.age import (
    Identity,
    Recipient,
    encrypt_file,
    header_for,
    new_file_key,
    new_nonce,
    seal_payload,
    sealed_size,
)
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import BodyCommitment, Leaf, ObjectCommitment, pack_bundle
from vault.formats.merkle import Frontier, Tile, bundle_path, number_path
from vault.formats.note import SigningKey, VerifierKey

TIME = "2026-11-23T06:05:04.000123Z"
BUCKET = "A-2026-11"


@dataclass(repr=False)
class SmallVault:
    """Where it is, its secrets, and what was put into it."""

    path: Path
    log_key: SigningKey
    root: Identity
    recovery: Identity
    buckets: dict[str, Identity] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    originals: dict[int, bytes] = field(default_factory=dict)
    private: dict[int, tuple[bytes, bytes, bytes]] = field(
        default_factory=dict
    )  # body slot, object slot, body

    @property
    def verifier(self) -> VerifierKey:
        return self.log_key.verifier

    def bucket(self, name: str) -> Recipient:
        if name not in self.buckets:
            identity = self.buckets[name] = Identity.generate()
            place = self.path / "keys" / "buckets" / name
            place.mkdir(parents=True)
            readers = [self.root.recipient, self.recovery.recipient]
            (place / "identity.age").write_bytes(encrypt_file(readers, f"{identity.text}\n".encode()))
            (place / "recipient").write_text(f"{identity.recipient.text}\n")
        return self.buckets[name].recipient

    def add(self, *, original: bytes | None = None, fields: dict[str, object] | None = None) -> Leaf:
        """One more entry; `write` puts the log down."""
        entry_id, index = new_id(), len(self.leaves)
        sealed, object_slot = self._seal(entry_id, original)
        body, body_slot, record = self._hide(fields)
        kind = "ingest" if sealed else "case"
        leaf = Leaf(id=entry_id, type=kind, time=TIME, by="dockd", object=sealed, body=body)
        self.leaves.append(leaf)
        self.private[index] = (body_slot, object_slot, record)
        if original is not None:
            self.originals[index] = original
        return leaf

    def object_path(self, index: int) -> Path:
        entry_id = self.leaves[index].id
        return self.path / "objects" / entry_id[-2:].lower() / f"{entry_id}.chunks"

    def write(self) -> Checkpoint:
        """Bundles, tiles, slots, packs and the checkpoint over everything added so far."""
        frontier = Frontier()
        for number, start in enumerate(range(0, len(self.leaves), 256)):
            leaves = self.leaves[start : start + 256]
            self._put(
                "log/" + bundle_path(number, len(leaves)), pack_bundle([leaf.canonical() for leaf in leaves])
            )
            self._write_private(number, range(start, start + len(leaves)))
            for leaf in leaves:
                self._write_tiles(frontier.add(leaf.hash()))
        self._write_tiles(list(frontier.partial_tiles()))
        checkpoint = Checkpoint(self.log_key.name, len(self.leaves), frontier.root())
        self._put("log/checkpoint", checkpoint.signed(self.log_key))
        return checkpoint

    def _seal(self, entry_id: str, original: bytes | None) -> tuple[ObjectCommitment | None, bytes]:
        if original is None:
            return None, b""
        file_key, nonce = new_file_key(), new_nonce()
        chunks = seal_payload(file_key, nonce, original)
        slot = header_for([self.bucket(BUCKET)], file_key) + nonce
        self._put(f"objects/{entry_id[-2:].lower()}/{entry_id}.chunks", chunks)
        digests = (sha256_hex(original), len(original), sha256_hex(chunks), sealed_size(len(original)))
        return ObjectCommitment(*digests, BUCKET, sha256_hex(slot)), slot

    def _hide(self, fields: dict[str, object] | None) -> tuple[BodyCommitment | None, bytes, bytes]:
        if fields is None:
            return None, b"", b""
        plain = encode({"salt": "5a" * 32, "fields": fields})
        file_key, nonce = new_file_key(), new_nonce()
        record = seal_payload(file_key, nonce, plain)
        slot = header_for([self.bucket(BUCKET)], file_key) + nonce
        return BodyCommitment(sha256_hex(plain), sha256_hex(record), BUCKET, sha256_hex(slot)), slot, record

    def _write_private(self, number: int, indices: range) -> None:
        slots, pack = b"", b""
        for index in indices:
            body_slot, object_slot, record = self.private.get(index, (b"", b"", b""))
            slots += body_slot.ljust(256, b"\0") + object_slot.ljust(256, b"\0")
            pack += struct.pack(">I", len(record)) + record
        self._put(f"keys/slots/{number_path(number)}", slots)
        self._put(f"packs/{number_path(number)}", pack)

    def _write_tiles(self, tiles: list[Tile]) -> None:
        for tile in tiles:
            self._put(f"log/{tile.path}", tile.raw)

    def _put(self, place: str, raw: bytes) -> None:
        path = self.path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)


def found(path: Path) -> SmallVault:
    """An empty vault with its genesis; call `write` after adding."""
    vault_id = new_id()
    vault = SmallVault(
        path, SigningKey.generate(f"sealdock/{vault_id.lower()}"), Identity.generate(), Identity.generate()
    )
    (path / "keys").mkdir(parents=True)
    readers = {"root": vault.root.recipient.text, "recovery": vault.recovery.recipient.text}
    for name, text in readers.items():
        (path / "keys" / f"{name}.recipient").write_text(f"{text}\n")
    facts = {"v": 1, "id": vault_id, "origin": vault.log_key.name, "key": vault.log_key.vkey, "made_at": TIME}
    (path / "vault.json").write_bytes(encode(facts))
    vault._put("log/policy", f"log {vault.log_key.vkey}\nquorum none\n".encode())
    genesis = {"format": 1, "vault": vault_id, "key": vault.log_key.vkey, **readers}
    vault.leaves.append(Leaf(id=vault_id, type="genesis", time=TIME, by="vaultd", facts=genesis))
    return vault
