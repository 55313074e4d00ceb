"""Key slots and body packs of one bundle against its entries (obligations 7, 8 and 9 of vault/audit/verify.py).

A slot that is gone is not judged here: whether a later entry allows it, vault.audit.relation says. A `rewrap` entry's
own slots hold headers of the recording that it is about.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.canonical import CanonicalError, decode
from core.digest import sha256_hex
from vault.audit import relation
from vault.audit.bucket import Buckets
from vault.audit.file import open_regular, read_bounded
from vault.audit.report import Finding, Report, reason
from vault.error import AgeError
from vault.formats.age import HEADER_SIZE, KEY_SLOT_SIZE, Identity, open_header, open_payload
from vault.formats.entry import BodyCommitment, Leaf
from vault.formats.merkle import TILE_WIDTH, number_path

_SLOT = 256  # bytes of one key slot; body's first, object's second (docs/formats/vault-layout.md)
_PAIR = 2 * _SLOT
_LENGTH = struct.Struct(">I")
_BODY_LIMIT = 64 << 20  # bytes; far above any body, keeps a damaged length from filling the memory
_SALT_DIGITS = 64
_EMPTY = bytes(_SLOT)
_EMPTY_FILE = bytes(TILE_WIDTH * _PAIR)
_PADDING = bytes(_SLOT - KEY_SLOT_SIZE)
REWRAP = "rewrap"


@dataclass(frozen=True)
class SlotPair:
    """The key slots of one entry: what should be in them, and what is."""

    index: int
    leaf: Leaf
    body: bytes
    object: bytes

    def expected(self) -> tuple[tuple[str, str, str] | None, tuple[str, str, str] | None]:
        """For body and object: (digest of the header, bucket, id of the entry whose content it opens)."""
        leaf, facts = self.leaf, self.leaf.facts
        body = (leaf.body.header_sha256, leaf.body.bucket, leaf.id) if leaf.body else None
        sealed = (leaf.object.header_sha256, leaf.object.bucket, leaf.id) if leaf.object else None
        if leaf.type != REWRAP or not leaf.about:
            return body, sealed
        bucket, recording = str(facts.get("bucket")), leaf.about[0]
        if "object_header_sha256" in facts:
            sealed = (str(facts["object_header_sha256"]), bucket, recording)
        if "body_header_sha256" in facts:
            body = (str(facts["body_header_sha256"]), bucket, recording)
        return body, sealed


class BesideAudit:
    """Checks what lies beside the log for one bundle after the other; `records` go to vault.audit.relation."""

    def __init__(self, directory: Path, buckets: Buckets) -> None:
        self._directory, self._buckets = directory, buckets

    def slots(
        self, number: int, leaves: Sequence[tuple[int, Leaf]], report: Report, records: list[bytes]
    ) -> list[SlotPair]:
        """7. The key slots of a bundle against its entries; gives those entries that have, or should have, a key."""
        file = f"keys/slots/{number_path(number)}"
        try:
            raw = read_bounded(self._directory / file, TILE_WIDTH * _PAIR)
        except FileNotFoundError:
            raw = b""  # each slot that an entry commits to is then missed by name
        except OSError as cause:
            raw = b""
            report.fail(Finding(7, "verify.slot", file, reason(cause)))
        pairs = []
        bare = raw == _EMPTY_FILE[: len(raw)]
        for index, leaf in leaves:
            keyless = leaf.body is None and leaf.object is None and leaf.type != REWRAP
            if keyless and bare:
                continue
            place = index % TILE_WIDTH * _PAIR
            slots = raw[place : place + _PAIR]
            if keyless and slots == _EMPTY_FILE[: len(slots)]:
                continue
            pair = SlotPair(index, leaf, slots[:_SLOT], slots[_SLOT:])
            for finding in self._check_pair(file, pair, place, report, records):
                report.fail(finding)
            pairs.append(pair)
        return pairs

    def _check_pair(
        self, file: str, pair: SlotPair, place: int, report: Report, records: list[bytes]
    ) -> Iterator[Finding]:
        gone = (
            (relation.NO_BODY_KEY, relation.NO_BODY_BUCKET),
            (relation.NO_OBJECT_KEY, relation.NO_OBJECT_BUCKET),
        )
        slots = zip((pair.body, pair.object), pair.expected(), gone, (place, place + _SLOT), strict=True)
        for slot, expected, (no_key, no_bucket), first in slots:
            is_empty = slot == _EMPTY or not any(slot)
            if expected is None:
                if not is_empty:
                    why = "no entry has a key here"
                    yield Finding(7, "verify.slot", file, why, pair.index, first, first + _SLOT - 1)
                continue
            digest, bucket, opened = expected
            if is_empty:
                records.append(relation.record(opened, no_key, pair.index))
            elif sha256_hex(slot[:KEY_SLOT_SIZE]) != digest or slot[KEY_SLOT_SIZE:] != _PADDING:
                why = "the header is not the one the entry names"
                yield Finding(7, "verify.slot", file, why, pair.index, first, first + _SLOT - 1)
            else:
                report.counts["slots"] += 1
                if self._buckets.is_absent(bucket):
                    records.append(relation.record(opened, no_bucket, pair.index))

    def bodies(
        self,
        number: int,
        leaves: Sequence[tuple[int, Leaf]],
        pairs: Sequence[SlotPair],
        width: int,
        report: Report,
    ) -> None:
        """8. The pack of a bundle of `width` entries, record by record; `leaves` are those that can be judged."""
        file = f"packs/{number_path(number)}"
        entries, sealed = {index for index, _ in leaves}, {pair.index: pair for pair in pairs}
        place, index = 0, number * TILE_WIDTH
        try:
            with os.fdopen(open_regular(self._directory / file), "rb") as pack:
                if not pairs and pack.read(width * _LENGTH.size + 1) == bytes(width * _LENGTH.size):
                    return  # no record holds anything, and nothing follows them
                pack.seek(0)
                for index in range(number * TILE_WIDTH, number * TILE_WIDTH + width):
                    record = _read_record(pack)
                    last = place + _LENGTH.size + len(record)
                    if index in sealed:
                        self._check_body(file, sealed[index], record, (place, last - 1), report)
                    elif record and index in entries:
                        why = "the entry has no body"
                        report.fail(Finding(8, "verify.pack", file, why, index, place, last - 1))
                    place = last
                if pack.read(1):
                    report.note(Finding(8, "notice.pack_tail", file, "", None, place))
        except OSError as cause:
            report.fail(Finding(8, "verify.pack", file, reason(cause)))
        except EOFError:
            why = "the records end early, or a length is wrong"
            report.fail(Finding(8, "verify.pack", file, why, index, place, place + _LENGTH.size - 1))

    def _check_body(
        self, file: str, pair: SlotPair, record: bytes, span: tuple[int, int], report: Report
    ) -> None:
        body = pair.leaf.body
        if body is None:
            if record:
                report.fail(Finding(8, "verify.pack", file, "the entry has no body", pair.index, *span))
            return
        if sha256_hex(record) != body.stored_sha256:
            why = "the stored bytes are not those the entry names"
            report.fail(Finding(8, "verify.pack", file, why, pair.index, *span))
            return
        report.counts["bodies"] += 1
        identity = self._buckets.identity(body.bucket)
        if identity is None or not any(pair.body):
            return
        if why := _opening_fault(body, identity, pair.body, record):
            report.fail(Finding(9, "verify.plaintext", file, why, pair.index, *span))
        else:
            report.counts["opened_bodies"] += 1

    def raw_pair(self, index: int) -> tuple[bytes, bytes]:
        """The two slots of an entry as they lie there. Raises OSError."""
        file = f"keys/slots/{number_path(index // TILE_WIDTH)}"
        raw, place = read_bounded(self._directory / file, TILE_WIDTH * _PAIR), index % TILE_WIDTH * _PAIR
        return raw[place : place + _SLOT], raw[place + _SLOT : place + _PAIR]

    def rewrapped_body(self, entry: tuple[int, Leaf], rewrap: tuple[int, Leaf], report: Report) -> None:
        """9. The body of `entry` with the header that `rewrap` keeps. Raises OSError."""
        index, leaf = entry
        identity = self._buckets.identity(str(rewrap[1].facts.get("bucket")))
        if leaf.body is None or identity is None:
            return
        file = f"packs/{number_path(index // TILE_WIDTH)}"
        record = b""
        try:
            with os.fdopen(open_regular(self._directory / file), "rb") as pack:
                for _ in range(index % TILE_WIDTH + 1):
                    record = _read_record(pack)
        except EOFError:
            return  # named on the walk
        if sha256_hex(record) != leaf.body.stored_sha256:
            return  # named on the walk
        if why := _opening_fault(leaf.body, identity, self.raw_pair(rewrap[0])[0], record):
            report.fail(Finding(9, "verify.plaintext", file, why, index))


def _read_record(pack: BinaryIO) -> bytes:
    """The next record of a pack. Raises EOFError when it is not whole."""
    head = pack.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    length = _LENGTH.unpack(head)[0]
    if not length:
        return b""
    if length > _BODY_LIMIT:
        raise EOFError
    record = pack.read(length)
    if len(record) < length:
        raise EOFError
    return record


def _opening_fault(body: BodyCommitment, identity: Identity, slot: bytes, record: bytes) -> str:
    """What is wrong with a body when it is opened with this slot, or nothing."""
    try:
        key = open_header(slot[:HEADER_SIZE], identity)
        return _body_fault(body, open_payload(key, slot[HEADER_SIZE:KEY_SLOT_SIZE], record))
    except AgeError as cause:
        return reason(cause)


def _body_fault(body: BodyCommitment, plain: bytes) -> str:
    """What is wrong with an opened body, or nothing."""
    if sha256_hex(plain) != body.sha256:
        return "the plaintext's digest is not the one the entry names"
    try:
        value = decode(plain)
    except CanonicalError as cause:
        return reason(cause)
    if set(value) != {"salt", "fields"} or not isinstance(value["fields"], dict):
        return "the body does not consist of salt and fields"
    salted = isinstance(value["salt"], str) and len(value["salt"]) == _SALT_DIGITS
    return "" if salted else "the body has no proper salt"
