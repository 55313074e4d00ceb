"""Is everything that the entries seal there, and the same? (obligations 6 to 9 of vault/audit/verify.py).

Objects are read once, in large pieces, from the medium where the kernel lets go of its cached pages; with a
bucket's identity the same pass also opens them, so that a damaged object is named to the chunk. The files are
read here, with none of the code that wrote them, and only as far as an honest one can be.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import local
from typing import BinaryIO

from core.canonical import CanonicalError, decode
from core.digest import Sha256, sha256_hex
from vault.audit.bucket import Buckets
from vault.audit.file import open_regular, read_bounded
from vault.audit.report import Finding, Report, reason
from vault.error import AgeError
from vault.formats.age import (
    CHUNK_SIZE,
    HEADER_SIZE,
    KEY_SLOT_SIZE,
    SEALED_CHUNK_SIZE,
    ChunkOpener,
    Identity,
    PayloadError,
    open_header,
    open_payload,
)
from vault.formats.entry import BodyCommitment, Leaf, ObjectCommitment
from vault.formats.merkle import TILE_WIDTH, number_path

_SLOT = 256  # bytes of one key slot; body's first, object's second (docs/formats/vault-layout.md)
_PAIR = 2 * _SLOT
_LENGTH = struct.Struct(">I")
_BODY_LIMIT = 64 << 20  # bytes; far above any body, keeps a damaged length from filling the memory
_PIECE = 64  # chunks read at once: 4 MiB
_SALT_DIGITS = 64


Commitment = BodyCommitment | ObjectCommitment | None


@dataclass(frozen=True)
class SealedEntry:
    """An entry that the tree vouches for, with the raw contents of its two key slots."""

    index: int
    leaf: Leaf
    body_slot: bytes
    object_slot: bytes


@dataclass(frozen=True)
class ObjectOutcome:
    """What reading one object found; the caller takes it down, so that threads share nothing."""

    size: int
    opened: bool
    faults: tuple[Finding, ...] = ()

    def joined(self, fault: Finding | None) -> ObjectOutcome:
        """With a further fault of the same object, if there is one."""
        return replace(self, faults=(*self.faults, fault)) if fault else self


class SealAudit:
    """Checks what lies beside the log, one bundle of entries after the other."""

    def __init__(self, directory: Path, buckets: Buckets, report: Report) -> None:
        self._directory, self._buckets, self._report = directory, buckets, report
        self._buffers = local()

    def slots(self, number: int, leaves: Sequence[tuple[int, Leaf]]) -> list[SealedEntry]:
        """7. The key slots of a bundle against its entries; gives the entries on to the other checks."""
        file = f"keys/slots/{number_path(number)}"
        try:
            raw = read_bounded(self._directory / file, TILE_WIDTH * _PAIR)
        except FileNotFoundError:
            raw = b""  # each slot that an entry commits to is then missed by name
        except OSError as cause:
            raw = b""
            self._report.fail(Finding(7, "verify.slot", file, reason(cause)))
        sealed = []
        for index, leaf in leaves:
            place = index % TILE_WIDTH * _PAIR
            entry = SealedEntry(index, leaf, raw[place : place + _SLOT], raw[place + _SLOT : place + _PAIR])
            self._check_slot(file, index, leaf.body, entry.body_slot, place)
            self._check_slot(file, index, leaf.object, entry.object_slot, place + _SLOT)
            sealed.append(entry)
        return sealed

    def _check_slot(self, file: str, index: int, commitment: Commitment, slot: bytes, place: int) -> None:
        if commitment is None:
            why = "no entry has a key here" if any(slot) else ""
        elif not any(slot):
            why = "the key is gone and no entry says that it was destroyed"
        else:
            whole = sha256_hex(slot[:KEY_SLOT_SIZE]) == commitment.header_sha256 and not any(
                slot[KEY_SLOT_SIZE:]
            )
            why = "" if whole else "the header is not the one the entry names"
        if why:
            self._report.fail(Finding(7, "verify.slot", file, why, index, place, place + _SLOT - 1))
        elif commitment:
            self._report.counts["slots"] += 1
            self._buckets.identity(commitment.bucket)

    def bodies(self, number: int, sealed: Sequence[SealedEntry], width: int) -> None:
        """8. The pack of a bundle, record by record."""
        file = f"packs/{number_path(number)}"
        entries = {entry.index: entry for entry in sealed}
        place, index = 0, number * TILE_WIDTH
        try:
            with os.fdopen(open_regular(self._directory / file), "rb") as pack:
                for index in range(number * TILE_WIDTH, number * TILE_WIDTH + width):
                    record = _read_record(pack)
                    last = place + _LENGTH.size + len(record)
                    if index in entries:
                        self._check_body(file, entries[index], record, (place, last - 1))
                    place = last
                if pack.read(1):
                    self._report.note(Finding(8, "notice.pack_tail", file, "", None, place))
        except OSError as cause:
            self._report.fail(Finding(8, "verify.pack", file, reason(cause)))
        except EOFError:
            why = "the records end early, or a length is wrong"
            self._report.fail(Finding(8, "verify.pack", file, why, index, place, place + _LENGTH.size - 1))

    def _check_body(self, file: str, entry: SealedEntry, record: bytes, span: tuple[int, int]) -> None:
        body = entry.leaf.body
        if body is None:
            if record:
                why = "the entry has no body"
                self._report.fail(Finding(8, "verify.pack", file, why, entry.index, *span))
            return
        if sha256_hex(record) != body.stored_sha256:
            why = "the stored bytes are not those the entry names"
            self._report.fail(Finding(8, "verify.pack", file, why, entry.index, *span))
            return
        self._report.counts["bodies"] += 1
        identity = self._buckets.identity(body.bucket)
        if identity is None or not any(entry.body_slot):
            return
        why = _body_fault(entry, body, record, identity)
        if why:
            self._report.fail(Finding(9, "verify.plaintext", file, why, entry.index, *span))
        else:
            self._report.counts["opened_bodies"] += 1

    def sealed_object(self, entry: SealedEntry) -> ObjectOutcome:
        """6. and 9. One object, in one pass. Safe to call from several threads; takes nothing down itself."""
        sealed, file = entry.leaf.object, object_file(entry.leaf.id)
        if sealed is None:
            raise ValueError("the entry seals no object")
        try:
            descriptor = open_regular(self._directory / file, os.O_NOFOLLOW)
        except OSError as cause:
            return _lost(file, entry.index, reason(cause))
        try:
            size = os.fstat(descriptor).st_size
            if size != sealed.stored_size:
                first, last = sorted((size, sealed.stored_size))
                why = f"it has {size} bytes where {sealed.stored_size} were sealed"
                return _lost(file, entry.index, why, (first, last - 1))
            return self._read_object(descriptor, file, entry, sealed)
        except OSError as cause:
            return _lost(file, entry.index, reason(cause))
        finally:
            os.close(descriptor)

    def _read_object(
        self, descriptor: int, file: str, entry: SealedEntry, sealed: ObjectCommitment
    ) -> ObjectOutcome:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # from the medium, not from memory
        stored, plain = Sha256(), Sha256()
        opener, fault = self._opener(entry, sealed, file)
        place = 0
        while place < sealed.stored_size:
            piece = self._piece(descriptor, place, sealed.stored_size)
            stored.update(piece)
            place += len(piece)
            if opener is None:
                continue
            try:
                done = opener.open(piece, self._plain, final=place == sealed.stored_size)
                plain.update(self._plain[:done])
            except PayloadError as cause:
                opener, fault = None, _payload_fault(file, entry.index, cause)
        if stored.hexdigest() != sealed.stored_sha256:
            why = "its digest is not the one the entry names"
            return _lost(file, entry.index, why, (0, place - 1)).joined(fault)
        if fault or opener is None:
            return ObjectOutcome(place, opened=False, faults=(fault,) if fault else ())
        if plain.hexdigest() != sealed.sha256:
            why = "the plaintext's digest is not the one the entry names"
            wrong = Finding(9, "verify.plaintext", file, why, entry.index, 0, place - 1)
            return ObjectOutcome(place, opened=False, faults=(wrong,))
        return ObjectOutcome(place, opened=True)

    def _opener(
        self, entry: SealedEntry, sealed: ObjectCommitment, file: str
    ) -> tuple[ChunkOpener | None, Finding | None]:
        identity = self._buckets.identity(sealed.bucket)
        if identity is None or not any(entry.object_slot):
            return None, None
        try:
            return ChunkOpener(*_unlock(entry.object_slot, identity), name=file), None
        except AgeError as cause:
            return None, Finding(9, "verify.plaintext", file, reason(cause), entry.index)

    def _piece(self, descriptor: int, place: int, size: int) -> memoryview:
        """The next stored bytes, whole chunks, in this thread's buffer."""
        if not hasattr(self._buffers, "stored"):
            self._buffers.stored = memoryview(bytearray(_PIECE * SEALED_CHUNK_SIZE))
            self._buffers.plain = memoryview(bytearray(_PIECE * CHUNK_SIZE))
        view: memoryview = self._buffers.stored[: min(_PIECE * SEALED_CHUNK_SIZE, size - place)]
        got = 0
        while got < len(view):
            count = os.preadv(descriptor, [view[got:]], place + got)
            if not count:
                raise OSError(0, "it became shorter while it was read")
            got += count
        return view

    @property
    def _plain(self) -> memoryview:
        plain: memoryview = self._buffers.plain
        return plain


def object_file(entry_id: str) -> str:
    """Where the object of an entry lies below the vault."""
    return f"objects/{entry_id[-2:].lower()}/{entry_id}.chunks"


def _lost(file: str, index: int, why: str, span: tuple[int, int] | None = None) -> ObjectOutcome:
    first, last = span or (None, None)
    return ObjectOutcome(
        0, opened=False, faults=(Finding(6, "verify.object", file, why, index, first, last),)
    )


def _payload_fault(file: str, index: int, cause: PayloadError) -> Finding:
    first, last = (int(str(cause.parameters[key])) for key in ("first", "last"))
    return Finding(9, "verify.plaintext", file, str(cause.parameters["why"]), index, first, last)


def _read_record(pack: BinaryIO) -> bytes:
    """The next record of a pack. Raises EOFError when it is not whole."""
    head = pack.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    length = _LENGTH.unpack(head)[0]
    if length > _BODY_LIMIT:
        raise EOFError
    record = pack.read(length)
    if len(record) < length:
        raise EOFError
    return record


def _unlock(slot: bytes, identity: Identity) -> tuple[bytes, bytes]:
    """File key and payload nonce. Raises AgeError."""
    return open_header(slot[:HEADER_SIZE], identity), slot[HEADER_SIZE:KEY_SLOT_SIZE]


def _body_fault(entry: SealedEntry, body: BodyCommitment, record: bytes, identity: Identity) -> str:
    """What is wrong with a body once it is opened, or nothing."""
    try:
        plain = open_payload(*_unlock(entry.body_slot, identity), record)
        if sha256_hex(plain) != body.sha256:
            return "the plaintext's digest is not the one the entry names"
        value = decode(plain)
    except (AgeError, CanonicalError) as cause:
        return reason(cause)
    if set(value) != {"salt", "fields"} or not isinstance(value["fields"], dict):
        return "the body does not consist of salt and fields"
    salted = isinstance(value["salt"], str) and len(value["salt"]) == _SALT_DIGITS
    return "" if salted else "the body has no proper salt"
