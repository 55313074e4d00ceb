"""Is every sealed object there, and the same? (obligations 6 and 9 of vault/audit/verify.py).

Objects are read once, from the medium and not from the page cache (vault.audit.stretch); with a bucket's identity
the same pass also opens them, so that a damaged object is named to the chunk. The files are read here, with none of
the code that wrote them, and only as far as an honest one can be.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import get_ident, local

from core.digest import Sha256
from vault.audit.bucket import Buckets
from vault.audit.file import is_immutable
from vault.audit.relation import object_file
from vault.audit.report import Finding, reason
from vault.audit.stretch import WHOLE_LIMIT, Stretches, open_medium
from vault.error import AgeError
from vault.formats.age import (
    CHUNK_SIZE,
    HEADER_SIZE,
    KEY_SLOT_SIZE,
    SEALED_CHUNK_SIZE,
    ChunkOpener,
    PayloadError,
    open_header,
)
from vault.formats.entry import ObjectCommitment

_PLAIN_ROOM = -(-WHOLE_LIMIT // SEALED_CHUNK_SIZE) * CHUNK_SIZE


@dataclass(frozen=True)
class SealedObject:
    """What an entry says of its object, with the raw contents of the object's key slot."""

    index: int
    id: str
    commitment: ObjectCommitment
    slot: bytes


@dataclass(frozen=True)
class ObjectOutcome:
    """What reading one object found; the caller takes it down, so that threads share nothing."""

    index: int
    id: str
    size: int = 0
    opened: bool = False
    immutable: bool = False
    missing: bool = False  # whether that is right, the log's later entries decide
    faults: tuple[Finding, ...] = ()

    def joined(self, fault: Finding | None) -> ObjectOutcome:
        """With a further fault of the same object, if there is one."""
        return replace(self, faults=(*self.faults, fault)) if fault else self


class ObjectAudit:
    """Reads objects; safe to call from several threads."""

    def __init__(self, directory: Path, buckets: Buckets) -> None:
        self._directory, self._buckets = directory, buckets
        self._buffers = local()
        self._read_bytes: dict[int, int] = {}  # by thread, so that no two ever write one number

    @property
    def read_bytes(self) -> int:
        """Stored bytes read so far; for a progress bar."""
        return sum(list(self._read_bytes.values()))

    def read(self, entry: SealedObject) -> ObjectOutcome:
        """6. and 9. One object, in one pass."""
        sealed, file = entry.commitment, object_file(entry.id)
        try:
            descriptor = open_medium(self._directory / file)
        except FileNotFoundError:
            return ObjectOutcome(entry.index, entry.id, missing=True)
        except OSError as cause:
            return _lost(entry, reason(cause))
        try:
            size = os.fstat(descriptor).st_size
            if size != sealed.stored_size:
                first, last = sorted((size, sealed.stored_size))
                why = f"it has {size} bytes where {sealed.stored_size} were sealed"
                return _lost(entry, why, (first, last - 1))
            return replace(self._read(descriptor, entry), immutable=is_immutable(descriptor))
        except OSError as cause:
            return _lost(entry, reason(cause))
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, entry: SealedObject) -> ObjectOutcome:
        sealed, file = entry.commitment, object_file(entry.id)
        stored, plain = Sha256(), Sha256()
        opener, fault = self._opener(entry)
        stretches, room = self._rooms()
        place = 0
        with closing(stretches.read(descriptor, sealed.stored_size)) as pieces:
            for piece, chunks in pieces:
                stored.update(piece)
                place += len(piece)
                self._read_bytes[get_ident()] = self._read_bytes.get(get_ident(), 0) + len(piece)
                if opener is None:
                    continue
                try:
                    done = opener.open(chunks, room, final=place == sealed.stored_size)
                    plain.update(room[:done])
                except PayloadError as cause:
                    opener, fault = None, _payload_fault(entry, cause)
        if stored.hexdigest() != sealed.stored_sha256:
            why = "its digest is not the one the entry names"
            return _lost(entry, why, (0, place - 1)).joined(fault)
        if opener and plain.hexdigest() != sealed.sha256:
            why = "the plaintext's digest is not the one the entry names"
            fault = Finding(9, "verify.plaintext", file, why, entry.index, 0, place - 1)
        opened = opener is not None and fault is None
        return ObjectOutcome(entry.index, entry.id, place, opened).joined(fault)

    def _opener(self, entry: SealedObject) -> tuple[ChunkOpener | None, Finding | None]:
        identity = self._buckets.identity(entry.commitment.bucket)
        if identity is None or not any(entry.slot):
            return None, None
        file = object_file(entry.id)
        try:
            file_key = open_header(entry.slot[:HEADER_SIZE], identity)
        except AgeError as cause:
            return None, Finding(9, "verify.plaintext", file, reason(cause), entry.index)
        return ChunkOpener(file_key, entry.slot[HEADER_SIZE:KEY_SLOT_SIZE], name=file), None

    def _rooms(self) -> tuple[Stretches, memoryview]:
        """The buffers of this thread."""
        if not hasattr(self._buffers, "rooms"):
            self._buffers.rooms = Stretches(), memoryview(bytearray(_PLAIN_ROOM))
        rooms: tuple[Stretches, memoryview] = self._buffers.rooms
        return rooms


def _lost(entry: SealedObject, why: str, span: tuple[int, int] | None = None) -> ObjectOutcome:
    first, last = span or (None, None)
    fault = Finding(6, "verify.object", object_file(entry.id), why, entry.index, first, last)
    return ObjectOutcome(entry.index, entry.id, faults=(fault,))


def _payload_fault(entry: SealedObject, cause: PayloadError) -> Finding:
    first, last = (int(str(cause.parameters[key])) for key in ("first", "last"))
    why = str(cause.parameters["why"])
    return Finding(9, "verify.plaintext", object_file(entry.id), why, entry.index, first, last)
