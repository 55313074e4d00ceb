"""Key slots and body packs: the small private parts of entries, 256 entries to a file.

Both are laid out like the log's entry bundles (C2SP tlog-tiles): entry i belongs to bundle i // 256.
- A key slot file has 512 bytes per entry: 256 for the body's `header || nonce` (184 bytes, then zeros), 256 for the
  object's. All zeros means that there is none, or that it was destroyed. A slot is the only thing in a vault that may
  change, and the only change is to zeros.
- A body pack has one record per entry: uint32 big-endian length and that many bytes of age chunks; length 0 means the
  entry has no body. Packs only grow; records beyond the checkpoint are cut off when vaultd starts.

Whoever owns these files can destroy keys and bodies and can neither read nor change one unseen: the entry carries
the digests of header and body.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vault.error import VaultError
from vault.formats.age import KEY_SLOT_SIZE
from vault.formats.merkle import number_path

BUNDLE = 256  # entries per file, as in an entry bundle (C2SP tlog-tiles)
SLOT_ROOM = 256  # bytes for one slot: room for a second stanza later, and never across a disk sector
PAIR_ROOM = 2 * SLOT_ROOM
_LENGTH = struct.Struct(">I")
FILE_MODE = 0o640


class PackError(VaultError):
    """A body pack or key slot file is damaged."""

    code = "vault.pack"
    sentence = (
        "{path} is damaged: {why}. Nothing was changed; run `sealdock vault verify` and restore the file."
    )


@dataclass(frozen=True)
class Private:
    """What one entry keeps beside the log: body chunks and the key slots of body and object."""

    body: bytes | None = None
    body_slot: bytes | None = None
    object_slot: bytes | None = None


class KeySlots:
    """The slots under one directory; reading needs no lock, because a slot is written before the log names it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, bundle: int) -> Path:
        """The file of one bundle's slots."""
        return self.directory / number_path(bundle)

    def body_slot(self, index: int) -> bytes | None:
        """`header || nonce` of the entry's body, or None."""
        return self._read(index, 0)

    def object_slot(self, index: int) -> bytes | None:
        """`header || nonce` of the entry's object, or None."""
        return self._read(index, SLOT_ROOM)

    def _read(self, index: int, offset: int) -> bytes | None:
        path = self.path(index // BUNDLE)
        try:
            with path.open("rb", buffering=0) as file:
                slot = os.pread(file.fileno(), KEY_SLOT_SIZE, index % BUNDLE * PAIR_ROOM + offset)
        except FileNotFoundError:
            return None
        return slot if len(slot) == KEY_SLOT_SIZE and any(slot) else None


class BodyPacks:
    """The packs under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, bundle: int) -> Path:
        """The pack of one bundle."""
        return self.directory / number_path(bundle)

    def body(self, index: int) -> bytes | None:
        """The stored chunks of the entry's body, or None when it has none. Raises PackError."""
        path = self.path(index // BUNDLE)
        for position, record in enumerate(read_records(path)):
            if position == index % BUNDLE:
                return record or None
        raise PackError(path=path, why=f"the record of entry {index} is missing")


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a pack in order; stops at its end. Raises PackError for a record that is cut off."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as cause:
        raise PackError(path=path, why="the file is missing") from cause
    at = 0
    while at < len(raw):
        body = at + _LENGTH.size
        if body > len(raw) or (end := body + _LENGTH.unpack_from(raw, at)[0]) > len(raw):
            raise PackError(path=path, why="its last record is cut off")
        yield raw[body:end]
        at = end


def committed_length(path: Path, records: int) -> int:
    """Bytes that the first `records` records of a pack take. Raises PackError when there are fewer."""
    length = count = 0
    for record in read_records(path) if records else ():
        length += _LENGTH.size + len(record)
        count += 1
        if count == records:
            return length
    if count < records:
        raise PackError(path=path, why=f"it holds {count} records where the log has {records}")
    return length


def encode_record(body: bytes | None) -> bytes:
    """One record of a pack."""
    return _LENGTH.pack(len(body or b"")) + (body or b"")


def encode_slots(privates: Sequence[Private]) -> bytes:
    """The slot pairs of consecutive entries. Raises ValueError for a slot of any other length than a slot has.

    This is the last door before a neighbour's slot: nobody above may be wrong about a length.
    """
    slots = [slot or b"" for private in privates for slot in (private.body_slot, private.object_slot)]
    if not all(len(slot) in {0, KEY_SLOT_SIZE} for slot in slots):
        raise ValueError(f"a key slot has {KEY_SLOT_SIZE} bytes or none")
    return b"".join(slot.ljust(SLOT_ROOM, b"\0") for slot in slots)
