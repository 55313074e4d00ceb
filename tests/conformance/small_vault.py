"""A vault written from docs/formats/vault-layout.md with none of the code that writes real ones."""

from __future__ import annotations

import shutil
import struct
from base64 import b64encode
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
    open_header,
    seal_payload,
    sealed_size,
)
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import BodyCommitment, Leaf, ObjectCommitment, pack_bundle
from vault.formats.merkle import DirectoryTiles, Frontier, Tile, bundle_path, inclusion_proof, number_path
from vault.formats.note import SigningKey, VerifierKey
from vault.formats.proof import Receipt

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
            self.commit(name)
        return self.buckets[name].recipient

    def commit(self, name: str) -> Leaf:
        """The entry that binds a bucket's keys as they lie there now."""
        place = self.path / "keys" / "buckets" / name
        recipient = (place / "recipient").read_text().strip()
        facts = {
            "name": name, "recipient": recipient, "sha256": sha256_hex((place / "identity.age").read_bytes()),
        }  # fmt: skip
        return self.say("bucket", facts)

    def say(
        self, kind: str, facts: dict[str, object], about: tuple[str, ...] = (), by: str = "vaultd"
    ) -> Leaf:
        """An entry that seals nothing."""
        leaf = Leaf(id=new_id(), type=kind, time=TIME, by=by, facts=facts, about=about)
        self.leaves.append(leaf)
        return leaf

    def rewrap(self, index: int, name: str) -> Leaf:
        """Wrap the keys of the recording at `index` to another bucket; old slots stay."""
        recipient, leaf = self.bucket(name), self.leaves[index]
        facts: dict[str, object] = {"bucket": name}
        fresh = {}
        for half, commitment, slot in zip(
            ("body", "object"), (leaf.body, leaf.object), self.private[index][:2], strict=True
        ):
            if commitment is None:
                fresh[half] = b""
                continue
            file_key = open_header(slot[:168], self.buckets[commitment.bucket])
            fresh[half] = header_for([recipient], file_key) + slot[168:]
            facts[f"{half}_header_sha256"] = sha256_hex(fresh[half])
        entry = self.say("rewrap", facts, (leaf.id,), "console")
        self.private[len(self.leaves) - 1] = (fresh["body"], fresh["object"], b"")
        return entry

    def destroy_keys(self, index: int) -> None:
        """Zeros into both slots of an entry; `write` puts them down."""
        self.private[index] = (b"", b"", self.private[index][2])

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

    def hand_over(self) -> SigningKey:
        """Another log key from here on; gives the one before. Everything is written."""
        old, new = self.log_key, SigningKey.generate(self.log_key.name)
        leaf = self.say("key", {"name": new.name, "vkey": new.vkey, "permits": []})
        size = len(self.leaves)
        note = self.write().signed(old, new)
        hashes = inclusion_proof(DirectoryTiles(self.path / "log", size), size - 1, size)
        self._put(f"log/handover/{size}", Receipt.build(leaf, size - 1, hashes, note).raw())
        self._put("log/policy", f"log {new.vkey}\nlog {old.vkey}\nquorum none\n".encode())
        self.log_key = new
        self.write()
        return old

    def anchor(self, kind: str, name: str, raw: bytes) -> None:
        """Outside evidence over the checkpoint as it is now, and its entry; call `write` after."""
        checkpoint = self.write()
        note = (self.path / "log/checkpoint").read_bytes()
        place = f"log/anchors/{checkpoint.size}"
        suffix = {"timestamp": "tsr", "cosignature": "cosignature"}[kind]
        self._put(f"{place}/checkpoint", note)
        self._put(f"{place}/{name}.{suffix}", raw)
        facts = {
            "size": checkpoint.size, "root": b64encode(checkpoint.root).decode(), "kind": kind, "name": name,
            "sha256": sha256_hex(raw), "at": TIME,
        }  # fmt: skip
        self.say("anchor", facts, by="anchord")

    def write(self) -> Checkpoint:
        """Bundles, tiles, slots, packs and the checkpoint over everything added so far."""
        frontier = Frontier()
        shutil.rmtree(self.path / "log" / "tile", ignore_errors=True)  # partial tiles of an older log
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
    vault.bucket(BUCKET)  # entry 1
    return vault
