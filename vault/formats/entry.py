"""Entries: what one line of the log says, canonical JSON without personal facts (docs/formats/entry.md).

One entry has one spelling (RFC 8785), so its leaf hash commits to its meaning. Optional keys are left out,
never null. People's names, places and file names stand only in the encrypted body that the entry commits to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, TypeVar

from core.canonical import CanonicalError, decode, encode
from core.errors import Exit, SealdockError
from vault.error import VaultError
from vault.formats.merkle import leaf_hash
from vault.formats.payload import sealed_size
from vault.formats.spelling import is_bucket, is_name, is_sha256, is_stamp, is_type, is_ulid, read

__all__ = [
    "ABOUT_LIMIT", "DEPTH_LIMIT", "ENTRY_LIMIT", "VERSION", "BodyCommitment", "EntryError", "Leaf",
    "ObjectCommitment", "check_bucket", "is_stamp", "is_ulid", "pack_bundle", "unpack_bundle",
]  # fmt: skip

VERSION = 1
ENTRY_LIMIT = 65535  # bytes: the length prefix of an entry bundle is uint16 (c2sp.org/tlog-tiles)
ABOUT_LIMIT = 1024  # subjects; a session names up to 256 recordings, a package more
DEPTH_LIMIT = 16  # nesting of facts; keeps hostile input cheap

_OBJECT_LIMIT = 1 << 53  # bytes: JSON numbers are exact up to here (RFC 8785)
_Shape = TypeVar("_Shape")
_REQUIRED = frozenset({"v", "id", "type", "time", "by"})
_OPTIONAL = frozenset({"actor", "about", "facts", "object", "body"})
_FLAT = frozenset({str, int, float, bool, type(None)})


class EntryError(VaultError):
    """Bytes or values that are no entry."""

    code = "vault.entry"
    sentence = (
        "This is not an entry that the log can hold ({why}). Nothing was added; "
        "if it was read from a vault, that vault needs to be verified."
    )
    exit_code = Exit.NO


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
        self.check_sizes()

    def check_sizes(self) -> None:
        """Raises EntryError unless the stored size is that of an object of this size."""
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
        return _from_spelling(raw) or cls._parse_slowly(raw)

    @classmethod
    def _parse_slowly(cls, raw: bytes) -> Leaf:
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


def check_bucket(name: object) -> None:
    """Raises EntryError unless `name` can name a bucket, which is also a directory."""
    if not is_bucket(name):
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


def _from_spelling(raw: bytes) -> Leaf | None:
    """The entry in `raw` when its spelling alone vouches for nearly all of it; None leaves it to the slower look.

    Checked here is what no grammar says: facts that are none, depth, subjects, and the two sizes.
    """
    spelled = read(raw)
    if spelled is None:
        return None
    fields = spelled.head
    _check_facts(fields["facts"])
    if len(fields["about"]) > 1:
        _check_about(fields["about"])
    fields["object"] = fields["body"] = None
    if spelled.object is not None:
        fields["object"] = sealed = _filled(ObjectCommitment, spelled.object)
        sealed.check_sizes()
    if spelled.body is not None:
        fields["body"] = _filled(BodyCommitment, spelled.body)
    fields["_canonical"] = raw
    return _filled(Leaf, fields)


def _filled(shape: type[_Shape], fields: dict[str, Any]) -> _Shape:
    """A frozen dataclass of values that were checked already."""
    made = object.__new__(shape)
    object.__setattr__(made, "__dict__", fields)  # not copied: nobody else holds them
    return made


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
    if not is_type(leaf.type) or not is_name(leaf.by):
        raise EntryError(why="its type or signer is malformed")
    if not is_stamp(leaf.time):
        raise EntryError(why="its time is not UTC with microseconds")


def _check_about(about: tuple[str, ...]) -> None:
    if not isinstance(about, tuple) or len(about) > ABOUT_LIMIT or not all(map(is_ulid, about)):
        raise EntryError(why="its subjects are not ULIDs, or too many")
    if len(set(about)) != len(about):
        raise EntryError(why="it names a subject twice")


def _check_facts(facts: object, depth: int = 0) -> None:
    if depth > DEPTH_LIMIT:
        raise EntryError(why="its facts are nested too deeply")
    is_object = type(facts) is dict or isinstance(facts, Mapping)
    if depth == 0 and not is_object:
        raise EntryError(why="its facts are not an object")
    inner = facts.values() if is_object else facts if isinstance(facts, list | tuple) else ()  # type: ignore[attr-defined]
    for value in inner:
        if depth == DEPTH_LIMIT or type(value) not in _FLAT:
            _check_facts(value, depth + 1)


def _check_digests(*digests: object) -> None:
    if not all(map(is_sha256, digests)):
        raise EntryError(why="a digest is not 64 lower-case hexadecimal digits")
