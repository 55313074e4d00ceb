"""Derivatives: posters, thumbnails, proxies and the like, encrypted in their parent's bucket, outside the object store.

Invariants: a derivative names its parent for ever; it is an ordinary age file whose key is wrapped to the
bucket that its parent lies in at the time, so it dies with the parent's bucket; what it is and what it digests
to stands beside it in a note signed by the worker. Derivatives are a cache: a lost or damaged one is made again,
and writing one again replaces it whole.

Whoever owns this directory can delete derivatives and cannot show a false one: the note's signature and
digests fail.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from core.canonical import CanonicalError, Json, decode, encode
from core.digest import Sha256, sha256_hex
from core.durable import fsync_directory, make_directory, replace
from vault.error import VaultError
from vault.formats.age import (
    CHUNK_SIZE,
    HEADER_SIZE,
    KEY_SLOT_SIZE,
    ChunkSealer,
    PayloadReader,
    Recipient,
    header_for,
    new_file_key,
    new_nonce,
    sealed_size,
)
from vault.formats.entry import Leaf, is_ulid
from vault.formats.note import Note, NoteError, SigningKey, sign_note
from vault.store.keys import bucket_recipient
from vault.store.objects import Vault

BLOCK_SIZE = 16 * CHUNK_SIZE  # plaintext sealed at a time
_RENDITION = re.compile(r"[a-z][a-z0-9.-]{0,31}\Z")
_KEYS = {"header_sha256", "parent", "rendition", "sha256", "size", "type"}


class NoDerivativeError(VaultError):
    """There is no usable derivative of this name."""

    code = "vault.no_derivative"
    sentence = (
        "There is no {rendition} of recording {parent} ({why}). The original is not touched by that; "
        "the worker makes derivatives again."
    )


@dataclass(frozen=True)
class Derivative:
    """What the worker's note says; `sha256` and `size` are of the plaintext, `mime` is its media type.

    `key_slot` (header and nonce) and `note` are what keyd wants to see before it gives out the key.
    """

    parent: str
    rendition: str
    mime: str
    size: int
    sha256: str
    key_slot: bytes = field(repr=False)
    note: bytes = field(repr=False)


def _signed(facts: dict[str, object], signer: SigningKey) -> bytes:
    return sign_note(encode(facts).decode() + "\n", signer)


def _said(note: bytes) -> Json:
    """The facts of a note, whoever signed it: keyd checks the signature before it gives out a key."""
    try:
        facts = decode(Note.parse(note).text.removesuffix("\n").encode())
    except CanonicalError as cause:
        raise NoteError(why="it is not a derivative's note") from cause
    if set(facts) != _KEYS or type(facts["size"]) is not int:
        raise NoteError(why="it is not a derivative's note")
    return facts


class DerivedStore:
    """The directory of derivatives of one vault."""

    def __init__(self, directory: Path, vault: Vault) -> None:
        self.directory = directory
        self._vault = vault

    def write(
        self, parent: Leaf, rendition: str, mime: str, chunks: Iterable[bytes], signer: SigningKey
    ) -> Derivative:
        """Seal `chunks` as they come; durable on return, replacing an earlier one whole.

        When `chunks` raises, nothing is left behind and an earlier derivative stays. Raises NoBucketError or
        OSError.
        """
        if parent.object is None or not _RENDITION.match(rendition):
            raise NoDerivativeError(rendition=rendition, parent=parent.id, why="it cannot have one")
        place = self._path(parent.id, rendition)
        make_directory(place.parent)
        recipient = Recipient.parse(bucket_recipient(self._vault, self._bucket(parent)))
        file_key, nonce = new_file_key(), new_nonce()
        slot = header_for([recipient], file_key) + nonce
        digest, size = self._seal(place, slot, ChunkSealer(file_key, nonce), chunks)
        facts: dict[str, object] = {
            "parent": parent.id, "rendition": rendition, "type": mime, "size": size, "sha256": digest,
            "header_sha256": sha256_hex(slot),
        }  # fmt: skip
        note = _signed(facts, signer)
        replace(place.with_suffix(".note"), note)
        self._check_parent(parent.id, rendition)
        return Derivative(parent.id, rendition, mime, size, digest, slot, note)

    def open(self, parent_id: str, rendition: str, file_key: bytes) -> PayloadReader:
        """A seekable reader of the plaintext; the key comes from keyd. Raises NoDerivativeError or PayloadError."""
        nonce = self.key_slot(parent_id, rendition)[HEADER_SIZE:]
        return PayloadReader.open(self._path(parent_id, rendition), file_key, nonce, start=KEY_SLOT_SIZE)

    def key_slot(self, parent_id: str, rendition: str) -> bytes:
        """Header and nonce, as keyd wants them. Raises NoDerivativeError."""
        try:
            with self._path(parent_id, rendition).open("rb") as file:
                slot = file.read(KEY_SLOT_SIZE)
        except OSError as cause:
            raise NoDerivativeError(rendition=rendition, parent=parent_id, why=cause.strerror) from cause
        if len(slot) != KEY_SLOT_SIZE:
            raise NoDerivativeError(rendition=rendition, parent=parent_id, why="it is cut short")
        return slot

    def note(self, parent_id: str, rendition: str) -> bytes:
        """The signed note, unchecked. Raises NoDerivativeError."""
        try:
            return self._path(parent_id, rendition).with_suffix(".note").read_bytes()
        except OSError as cause:
            raise NoDerivativeError(rendition=rendition, parent=parent_id, why=cause.strerror) from cause

    def find(self, parent_id: str, rendition: str) -> Derivative | None:
        """What is there, if its note names the very file beside it; None otherwise.

        The note's signature is not checked here: keyd does it, and gives no key for a false one.
        """
        try:
            note, slot = self.note(parent_id, rendition), self.key_slot(parent_id, rendition)
            facts = _said(note)
            stored = self._path(parent_id, rendition).stat().st_size - KEY_SLOT_SIZE
        except (VaultError, OSError):
            return None
        told = (facts["parent"], facts["rendition"], facts["header_sha256"], sealed_size(facts["size"]))
        if told != (parent_id, rendition, sha256_hex(slot), stored):
            return None
        return Derivative(parent_id, rendition, facts["type"], facts["size"], facts["sha256"], slot, note)

    def list(self, parent_id: str) -> list[str]:
        """Names of the renditions that have a file and a note."""
        place = self._path(parent_id, "any").parent
        notes = {path.stem for path in place.glob("*.note")} if place.is_dir() else set()
        return sorted(name for name in notes if self._path(parent_id, name).is_file())

    def forget(self, parent_id: str) -> None:
        """Remove every derivative of a recording, durably; none is no error."""
        place = self._path(parent_id, "any").parent
        if place.is_dir():
            shutil.rmtree(place)
            fsync_directory(place.parent)

    def _check_parent(self, parent_id: str, rendition: str) -> None:
        """Let go of what was just made of a recording that is gone.

        A disposal removes the object first and derivatives after it: either it finds this one, or this finds no object.
        """
        if not self._vault.object_path(parent_id).exists():
            self.forget(parent_id)
            raise NoDerivativeError(rendition=rendition, parent=parent_id, why="its recording is gone")

    def _bucket(self, parent: Leaf) -> str:
        """Where the parent's keys lie now: a derivative must not outlive them, nor end before them."""
        return self._vault.wrappings.of(0, parent)[0].bucket

    def _path(self, parent_id: str, rendition: str) -> Path:
        if not is_ulid(parent_id) or not _RENDITION.match(rendition):
            raise NoDerivativeError(rendition=rendition, parent=parent_id, why="that is not a name")
        return self.directory / parent_id[-2:].lower() / parent_id / f"{rendition}.age"

    @staticmethod
    def _seal(place: Path, slot: bytes, sealer: ChunkSealer, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Write under another name, make it durable, put it in its place; digest and size of the plaintext."""
        forming = place.with_name(f".{place.name}.{token_hex(6)}.tmp")
        try:
            with forming.open("xb") as file:
                file.write(slot)
                digest, size = _seal_into(file, sealer, chunks)
                file.flush()
                os.fsync(file.fileno())
            forming.chmod(0o440)
            forming.replace(place)
        except BaseException:
            forming.unlink(missing_ok=True)
            raise
        fsync_directory(place.parent)
        return digest, size


def _seal_into(file: BinaryIO, sealer: ChunkSealer, chunks: Iterable[bytes]) -> tuple[str, int]:
    held, sealed = bytearray(), bytearray(sealed_size(BLOCK_SIZE))
    running, size = Sha256(), 0
    for piece in chunks:
        running.update(piece)
        size += len(piece)
        held += piece
        while len(held) > BLOCK_SIZE:  # one byte stays, because the last chunk is marked as such
            written = sealer.seal(held[:BLOCK_SIZE], sealed, final=False)
            file.write(memoryview(sealed)[:written])
            del held[:BLOCK_SIZE]
    written = sealer.seal(bytes(held), sealed, final=True)
    file.write(memoryview(sealed)[:written])
    return running.hexdigest(), size
