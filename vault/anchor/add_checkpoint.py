"""The add-checkpoint request (c2sp.org/tlog-witness): what goes to a witness over HTTPS or as a file on a stick.

    old <size that the witness last cosigned>
    <base64 hash>            the consistency proof, at most 63 lines
    ...
    <empty line>
    <the checkpoint>

Invariant: bytes have one reading; a request that is malformed is a RequestError and nothing else.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass

from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.merkle import HASH_SIZE, DirectoryTiles, consistency_proof
from vault.formats.note import Note
from vault.log.ledger import LogReader

REQUEST_LIMIT = 128 * 1024  # bytes: 63 hashes and a checkpoint with some dozen ML-DSA-44 lines
_HASHES_LIMIT = 63  # the specification's
_LONGEST_SIZE = 18  # decimal digits, as a checkpoint's


class RequestError(VaultError):
    """Bytes that are no add-checkpoint request."""

    code = "vault.add_checkpoint"
    sentence = (
        "This is not a request for a cosignature ({why}). Nothing was cosigned; make it again with "
        "`sealdock anchor request`."
    )


@dataclass(frozen=True)
class AddCheckpoint:
    """A checkpoint to cosign, and the proof that it continues the one of `old` entries."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @classmethod
    def parse(cls, raw: bytes) -> AddCheckpoint:
        """Take a request apart; nothing is believed yet. Raises RequestError."""
        head, separator, note = raw.partition(b"\n\n")
        if len(raw) > REQUEST_LIMIT or not separator or not head.isascii():
            raise RequestError(why="its parts are missing or too long")
        first, *lines = head.decode().split("\n")
        if not first.startswith("old ") or len(lines) > _HASHES_LIMIT:
            raise RequestError(why="it does not start with an old size, or has too many hashes")
        return cls(_size(first.removeprefix("old ")), tuple(map(_hash, lines)), note)

    def raw(self) -> bytes:
        """The request's body, and the file."""
        lines = [f"old {self.old}", *(b64encode(one).decode() for one in self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note


def request(reader: LogReader, note: bytes, old: int) -> AddCheckpoint:
    """The request that takes a witness from `old` entries to the checkpoint `note` of this log.

    Raises ValueError for an `old` beyond the checkpoint, TileError for a log that cannot be read.
    """
    new = Checkpoint.parse(Note.parse(note).text).size
    if not 0 <= old <= new:
        raise ValueError("a witness is asked to go forward")
    tiles = DirectoryTiles(reader.vault.log_path, reader.size)
    proof = consistency_proof(tiles, old, new) if 0 < old < new else []
    return AddCheckpoint(old, tuple(proof), note)


def parse_size(raw: bytes) -> int:
    """The size in a witness's 409 answer. Raises RequestError."""
    text = raw.decode("ascii", "replace")
    if not text.endswith("\n"):
        raise RequestError(why="its size does not end in a newline")
    return _size(text.removesuffix("\n"))


def _size(text: str) -> int:
    plain = text.isascii() and text.isdigit() and len(text) <= _LONGEST_SIZE
    if not plain or str(int(text)) != text:
        raise RequestError(why="a size is not a plain decimal number")
    return int(text)


def _hash(line: str) -> bytes:
    try:
        raw = b64decode(line, validate=True)
    except ValueError as cause:
        raise RequestError(why="a hash is not base64") from cause
    if len(raw) != HASH_SIZE or b64encode(raw).decode() != line:
        raise RequestError(why="a hash has the wrong length or spelling")
    return raw
