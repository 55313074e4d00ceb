"""Entries: what one line of the log says, canonical JSON without personal facts (docs/formats/entry.md).

One entry has one spelling (RFC 8785), so its leaf hash commits to its meaning. Optional keys are left out,
never null. People's names, places and file names stand only in the encrypted body that the entry commits to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from core.canonical import CanonicalError, decode, encode
from core.clock import parse_stamp, stamp
from core.errors import SealdockError
from vault.error import VaultError
from vault.formats.merkle import leaf_hash
from vault.formats.payload import sealed_size

VERSION = 1
ENTRY_LIMIT = 65535  # bytes: the length prefix of an entry bundle is uint16 (c2sp.org/tlog-tiles)
ABOUT_LIMIT = 1024  # subjects; a session names up to 256 recordings, a package more
DEPTH_LIMIT = 16  # nesting of facts; keeps hostile input cheap

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")  # ulid/spec: Crockford base 32, at most 128 bits
_TYPE = re.compile(r"[a-z][a-z_]{0,31}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")  # also a directory's name
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_OBJECT_LIMIT = 1 << 53  # bytes: JSON numbers are exact up to here (RFC 8785)
_REQUIRED = frozenset({"v", "id", "type", "time", "by"})
_OPTIONAL = frozenset({"actor", "about", "facts", "object", "body"})


class EntryError(VaultError):
    """Bytes or values that are no entry."""

    code = "vault.entry"
    sentence = (
        "This is not an entry that the log can hold ({why}). Nothing was added; "
        "if it was read from a vault, that vault needs to be verified."
    )


@dataclass(frozen=True)
class ObjectCommitment:
    """What an entry says of the object it seals.

    `sha256` and `size` are of the plaintext, `stored_*` of the file in objects/, `header_sha256` of the 184
    bytes header || nonce in its key slot.
    """

    sha256: str
    size: int
    stored_sha256: str
    stored_size: int
    bucket: str
    header_sha256: str

    def __post_init__(self) -> None:
        _check_digests(self.sha256, self.stored_sha256, self.header_sha256)
        check_bucket(self.bucket)
        if type(self.size) is not int or not 0 <= self.size <= _OBJECT_LIMIT:
            raise EntryError(why="an object's size is not a count of bytes")
        if type(self.stored_size) is not int or self.stored_size != sealed_size(self.size):
            raise EntryError(why="an object's stored size does not follow from its size")


@dataclass(frozen=True)
class BodyCommitment:
    """What an entry says of its private body: digests of plaintext, stored chunks and header || nonce."""

    sha256: str
    stored_sha256: str
    bucket: str
    header_sha256: str

    def __post_init__(self) -> None:
        _check_digests(self.sha256, self.stored_sha256, self.header_sha256)
        check_bucket(self.bucket)


@dataclass(frozen=True)
class Leaf:
    """One entry, checked: what exists as a Leaf can be written, and reads back equal."""

    id: str
    type: str
    time: str
    by: str
    actor: str | None = None
    about: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    object: ObjectCommitment | None = None
    body: BodyCommitment | None = None
    _read: InitVar[bytes | None] = None  # the bytes it was read from, so that they are not made again

    def __post_init__(self, _read: bytes | None) -> None:
        _check_head(self)
        _check_about(self.about)
        _check_facts(self.facts)
        raw = _read if _read is not None else self._encode()
        if len(raw) > ENTRY_LIMIT:
            raise EntryError(why="it is longer than 65535 bytes")
        vars(self)["_canonical"] = raw

    @classmethod
    def parse(cls, raw: bytes) -> Leaf:
        """Read an entry from exactly the bytes that `canonical` writes. Raises EntryError."""
        if len(raw) > ENTRY_LIMIT:
            raise EntryError(why="it is longer than 65535 bytes")
        try:
            value = decode(raw)
        except CanonicalError as cause:
            raise EntryError(why=str(cause.parameters["why"])) from cause
        if set(value) - _OPTIONAL != _REQUIRED or type(value["v"]) is not int or value["v"] != VERSION:
            raise EntryError(why="a key is missing, unknown, or of another version")
        return _from_json(value, raw)

    def canonical(self) -> bytes:
        """The bytes that the log holds."""
        raw: bytes = vars(self)["_canonical"]
        return raw

    def hash(self) -> bytes:
        """The leaf hash in the Merkle tree."""
        return leaf_hash(self.canonical())

    def _encode(self) -> bytes:
        value: dict[str, Any] = {
            "v": VERSION, "id": self.id, "type": self.type, "time": self.time, "by": self.by,
            "actor": self.actor, "about": list(self.about), "facts": dict(self.facts),
            "object": vars(self.object) if self.object else None,
            "body": vars(self.body) if self.body else None,
        }  # fmt: skip
        try:
            return encode({key: kept for key, kept in value.items() if kept or key in _REQUIRED})
        except SealdockError as cause:
            raise EntryError(why=str(cause)) from cause


def is_ulid(text: object) -> bool:
    """Whether `text` is a ULID in its canonical upper-case spelling."""
    return isinstance(text, str) and bool(_ULID.match(text))


def check_bucket(name: object) -> None:
    """Raises EntryError unless `name` can name a bucket, which is also a directory."""
    if not isinstance(name, str) or not _BUCKET.match(name):
        raise EntryError(why="a bucket's name is malformed")


def pack_bundle(entries: list[bytes]) -> bytes:
    """An entry bundle: each entry after its length as a big-endian uint16 (c2sp.org/tlog-tiles)."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpack_bundle(raw: bytes) -> list[bytes]:
    """The entries of a bundle. Raises EntryError when lengths and bytes do not meet."""
    entries, place = list[bytes](), 0
    while place < len(raw):
        start = place + 2
        place = start + int.from_bytes(raw[place:start], "big")
        entries.append(raw[start:place])
    if place != len(raw):
        raise EntryError(why="an entry bundle ends inside an entry")
    return entries


def _from_json(value: dict[str, Any], raw: bytes) -> Leaf:
    if any(key in value and not value[key] for key in _OPTIONAL):
        raise EntryError(why="an optional key is empty instead of left out")
    about = value.get("about", [])
    if not isinstance(about, list):
        raise EntryError(why="its subjects are not a list")
    sealed, body = value.get("object"), value.get("body")
    return Leaf(
        id=value["id"], type=value["type"], time=value["time"], by=value["by"],
        actor=value.get("actor"), about=tuple(about), facts=value.get("facts", {}),
        object=None if sealed is None else ObjectCommitment(**_exactly(sealed, ObjectCommitment)),
        body=None if body is None else BodyCommitment(**_exactly(body, BodyCommitment)),
        _read=raw,
    )  # fmt: skip


def _exactly(value: object, shape: type) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(shape.__dataclass_fields__):  # type: ignore[attr-defined]
        raise EntryError(why=f"its {shape.__name__} has other keys than it must have")
    return value


def _check_head(leaf: Leaf) -> None:
    if not is_ulid(leaf.id) or not (leaf.actor is None or is_ulid(leaf.actor)):
        raise EntryError(why="an id is not a ULID")
    for pattern, text in ((_TYPE, leaf.type), (_NAME, leaf.by)):
        if not isinstance(text, str) or not pattern.match(text):
            raise EntryError(why="its type or signer is malformed")
    if not is_stamp(leaf.time):
        raise EntryError(why="its time is not UTC with microseconds")


def is_stamp(text: object) -> bool:
    """Whether `text` is a time exactly as `core.clock.stamp` writes it."""
    try:
        return isinstance(text, str) and stamp(parse_stamp(text)) == text
    except ValueError:
        return False


def _check_about(about: tuple[str, ...]) -> None:
    if not isinstance(about, tuple) or len(about) > ABOUT_LIMIT or not all(map(is_ulid, about)):
        raise EntryError(why="its subjects are not ULIDs, or too many")
    if len(set(about)) != len(about):
        raise EntryError(why="it names a subject twice")


def _check_facts(facts: object, depth: int = 0) -> None:
    if depth > DEPTH_LIMIT:
        raise EntryError(why="its facts are nested too deeply")
    if depth == 0 and not isinstance(facts, Mapping):
        raise EntryError(why="its facts are not an object")
    inner = facts.values() if isinstance(facts, Mapping) else facts if isinstance(facts, list | tuple) else ()
    for value in inner:
        _check_facts(value, depth + 1)


def _check_digests(*digests: object) -> None:
    if not all(isinstance(digest, str) and _SHA256.match(digest) for digest in digests):
        raise EntryError(why="a digest is not 64 lower-case hexadecimal digits")
