"""Keys: buckets, and opening what they lock.

The chain is root or recovery identity -> bucket identity -> file key -> payload. A dock needs only recipients: it makes
each month's bucket key, wraps it to root and recovery, and forgets it. The root lies outside the vault in `root.age`
(the format of `age -p`); the recovery identity is kept nowhere at all. Making a vault is vault.founding.

Whoever owns keys/buckets can destroy access and gains none.
"""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from threading import Lock
from time import time_ns

from core.canonical import CanonicalError, Json, decode, encode
from core.digest import sha256_hex
from core.durable import create_once, fsync_directory
from core.errors import Exit
from vault.error import AgeError, VaultError
from vault.formats.age import (
    HEADER_SIZE,
    Identity,
    Recipient,
    decrypt_file,
    encrypt_file,
    header_for,
    new_file_key,
    new_nonce,
    open_header,
    open_payload,
    seal_payload,
)
from vault.formats.entry import BodyCommitment, Leaf, check_bucket
from vault.store.medium import explained
from vault.store.objects import Vault
from vault.store.root import ROOT_FILE, PassphraseRoot, RootError, WrongPassphraseError

__all__ = [
    "BODY_LIMIT", "IDENTITY_FILE", "ORDINARY", "RECOVERY_RECIPIENT", "ROOT_FILE", "ROOT_RECIPIENT", "BodyError",
    "BodyLimitError", "Keyring", "NoBucketError", "WrongPassphraseError", "WrongRootError", "bucket_directory",
    "bucket_for", "bucket_names", "bucket_recipient", "check_body_size", "closed_mark",
    "ensure_bucket", "open_body", "open_bucket_for", "seal_body",
    "vault_recipients",
]  # fmt: skip

IDENTITY_FILE = "identity.age"
ROOT_RECIPIENT = "root.recipient"
RECOVERY_RECIPIENT = "recovery.recipient"
BODY_LIMIT = (
    1 << 20
)  # bytes of plaintext: a thousand times an ordinary body, and far below what a verifier reads
FileMark = tuple[int, int, int, int, int]  # device, inode, size, times of content and of inode in ns
ORDINARY = "A"  # the retention class of recordings until somebody says otherwise
_SETTLED: set[Path] = set()  # buckets whose names this process has made durable
_READ: dict[
    tuple[Path, str], tuple[str, FileMark, str]
] = {}  # recipients: file, its mark when it was read, text
_SETTLING_NS = 100_000_000  # a file that changed since might change again within the same tick of its clock


class WrongRootError(RootError):
    """An identity that opens, and is not this vault's."""

    code = "vault.wrong_root"
    sentence = (
        "This key is neither the root nor a recovery key of this vault. Nothing was unlocked; after a rotation only "
        "the new root opens it, and the recovery key always does."
    )
    exit_code = Exit.NO


class NoBucketError(VaultError):
    """A bucket that nobody made, or whose key was destroyed."""

    code = "vault.no_bucket"
    sentence = (
        "The bucket {name} has no key in {path}. What was sealed into it cannot be opened here; restore keys/buckets "
        "from a copy of the vault unless it was disposed of."
    )


class BodyLimitError(VaultError):
    """A body that no pack should hold."""

    code = "vault.body_limit"
    sentence = (
        "The private part of this entry has {size} bytes and may have {limit}. Nothing was put on the log; shorten the "
        "text, or seal it as a file."
    )
    exit_code = Exit.NO


class BodyError(VaultError):
    """A body that is not what its entry committed to."""

    code = "vault.body"
    sentence = (
        "The private part of entry {index} is damaged ({why}). The entry itself stands; "
        "run `sealdock vault verify` and restore the body pack from a copy."
    )


def bucket_for(moment: datetime, retention_class: str = ORDINARY) -> str:
    """The bucket of recordings sealed at `moment`: class and UTC month, `A-2026-11`."""
    return f"{retention_class}-{moment.astimezone(UTC):%Y-%m}"


def open_bucket_for(vault: Vault, moment: datetime, retention_class: str = ORDINARY) -> str:
    """As `bucket_for`, or the next month's that was not closed: a clock that fell back makes no closed bucket anew."""
    name = bucket_for(moment, retention_class)
    while closed_mark(vault, name).exists():
        moment = (moment.astimezone(UTC).replace(day=1) + timedelta(days=32)).replace(day=1)
        name = bucket_for(moment, retention_class)
    return name


def closed_mark(vault: Vault, name: str) -> Path:
    """The empty file that stands for a bucket whose identity was destroyed."""
    directory = bucket_directory(vault, name)
    return directory.with_name(f".{directory.name}.closed")


def ensure_bucket(vault: Vault, name: str) -> str:
    """Make the bucket unless it is there; gives its recipient text. Durable on return; safe to race.

    Needs no secret: the new identity is wrapped to root and recovery and forgotten. Raises EntryError for a bad name,
    DiskFullError or MediumError.
    """
    check_bucket(name)
    place = bucket_directory(vault, name)
    try:
        if not place.is_dir():
            _make_bucket(vault, place)
        elif place not in _SETTLED:  # whoever made it may have died before its name was durable
            fsync_directory(place)
            fsync_directory(place.parent)
    except OSError as cause:
        raise explained(place, 0, cause) from cause
    _SETTLED.add(place)
    return bucket_recipient(vault, name)


def bucket_recipient(vault: Vault, name: str) -> str:
    """What to encrypt to: `age1...`. Raises EntryError, NoBucketError, or MediumError for a disk that refuses.

    The file is asked each time whether it is still the one that was read; read again is only another one.
    """
    kept = _READ.get((vault.path, name))
    if kept is not None and _mark(kept[0]) == kept[1]:
        return kept[2]
    check_bucket(name)
    path = bucket_directory(vault, name) / "recipient"
    try:
        now_ns, mark = time_ns(), _mark(str(path))
        text = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError) as cause:
        raise NoBucketError(name=name, path=path.parent) from cause
    except OSError as cause:  # no descriptor free, a failing disk: says nothing of the bucket
        raise explained(path, 0, cause) from cause
    if mark is not None and mark[-1] < now_ns - _SETTLING_NS:
        _READ[vault.path, name] = str(path), mark, text
    return text


def _mark(path: str) -> FileMark | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # once per body; a Path would cost more than the question
    except OSError:
        return None  # reading it says why
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Keyring:
    """An unlocked root or recovery identity; opens buckets and keeps their identities in memory only."""

    def __init__(self, vault: Vault, identity: Identity) -> None:
        self._vault = vault
        self._identity = identity
        self._buckets: dict[str, Identity] = {}
        self._lock = Lock()

    @classmethod
    def unlock(cls, vault: Vault, keys_directory: Path, passphrase: bytes) -> Keyring:
        """Open `root.age`. Takes about a second by design (scrypt). Raises RootError or OSError."""
        return cls(vault, PassphraseRoot(keys_directory).open(passphrase))

    @classmethod
    def opened(cls, vault: Vault, identity: Identity) -> Keyring:
        """Use a root or recovery identity that somebody opened already. Raises WrongRootError for any other."""
        if identity.recipient.text not in {recipient.text for recipient in vault_recipients(vault)}:
            raise WrongRootError
        return cls(vault, identity)

    @classmethod
    def from_identity(cls, vault: Vault, text: str) -> Keyring:
        """Use an identity as it was printed (the recovery key). Raises AgeError."""
        return cls(vault, Identity.parse(text))

    def bucket(self, name: str) -> Identity:
        """The identity of a bucket. Raises NoBucketError, or AgeError when it was not wrapped to us."""
        with self._lock:
            if name not in self._buckets:
                self._buckets[name] = self._open_bucket(name)
            return self._buckets[name]

    def file_key(self, key_slot: bytes, bucket: str) -> bytes:
        """The 16-byte file key in a key slot. Raises NoBucketError or AgeError."""
        return open_header(key_slot[:HEADER_SIZE], self.bucket(bucket))

    def forget(self, name: str) -> None:
        """Let go of the identity of a bucket that was destroyed."""
        with self._lock:
            self._buckets.pop(name, None)

    def _open_bucket(self, name: str) -> Identity:
        check_bucket(name)
        path = bucket_directory(self._vault, name) / IDENTITY_FILE
        try:
            sealed = path.read_bytes()
        except OSError as cause:
            raise NoBucketError(name=name, path=path.parent) from cause
        return Identity.parse(decrypt_file(self._identity, sealed).decode())


def check_body_size(size: int) -> None:
    """Raises BodyLimitError for a plaintext of more bytes than a body may have."""
    if size > BODY_LIMIT:
        raise BodyLimitError(size=size, limit=BODY_LIMIT)


def seal_body(vault: Vault, salted: Json, bucket: str) -> tuple[BodyCommitment, bytes, bytes]:
    """Encrypt a salted body to its bucket: the commitment, the chunks for the pack and `header || nonce` for the slot.

    Raises NoBucketError, BodyLimitError or CanonicalError.
    """
    plain = encode(salted)
    check_body_size(len(plain))
    file_key, nonce = new_file_key(), new_nonce()
    stored = seal_payload(file_key, nonce, plain)
    slot = header_for([Recipient.parse(bucket_recipient(vault, bucket))], file_key) + nonce
    return BodyCommitment(sha256_hex(plain), sha256_hex(stored), bucket, sha256_hex(slot)), stored, slot


def open_body(vault: Vault, index: int, leaf: Leaf, keyring: Keyring) -> Json | None:
    """The private facts of entry `index`, checked against every digest that the entry gives.

    None when it has none or they were disposed of. Raises BodyError, PackError, NoBucketError or AgeError.
    """
    if leaf.body is None or vault.slots.body_slot(index) is None:
        return None
    stored = vault.packs.body(index)
    if stored is None or sha256_hex(stored) != leaf.body.stored_sha256:
        raise BodyError(index=index, why="the stored bytes are not those the entry names")
    file_key, nonce = _body_key(vault, index, leaf, keyring)
    plain = open_payload(file_key, nonce, stored, name=f"the body of entry {index}")
    if sha256_hex(plain) != leaf.body.sha256:
        raise BodyError(index=index, why="what it says is not what the entry committed to")
    try:
        fields: Json = decode(plain)["fields"]
    except (CanonicalError, KeyError) as cause:
        raise BodyError(index=index, why="it is not canonical JSON with fields") from cause
    return fields


def _body_key(vault: Vault, index: int, leaf: Leaf, keyring: Keyring) -> tuple[bytes, bytes]:
    """Key and nonce from the newest header that opens: a re-wrap may have taken it to another bucket."""
    failure: VaultError = BodyError(index=index, why="its key slot is not the one the entry names")
    for place, bucket, header_sha256 in vault.wrappings.of_body(index, leaf):
        slot = vault.slots.body_slot(place)
        if slot is None or sha256_hex(slot) != header_sha256:
            continue
        try:
            return keyring.file_key(slot, bucket), slot[HEADER_SIZE:]
        except (NoBucketError, AgeError) as cause:
            failure = cause
    raise failure


def vault_recipients(vault: Vault) -> list[Recipient]:
    """Root and recovery, one or several: whom every bucket identity is wrapped to."""
    names = (ROOT_RECIPIENT, RECOVERY_RECIPIENT)
    lines = [(vault.keys_path / name).read_text(encoding="ascii").split() for name in names]
    return [Recipient.parse(text) for line in lines for text in line]


def bucket_names(vault: Vault) -> list[str]:
    """All buckets that have keys here, in order."""
    directory = vault.keys_path / "buckets"
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def bucket_directory(vault: Vault, name: str) -> Path:
    """Where a bucket's recipient and wrapped identity lie."""
    return vault.keys_path / "buckets" / name


def _make_bucket(vault: Vault, place: Path) -> None:
    """Whole or not at all: filled under another name, made durable, then renamed."""
    identity = Identity.generate()
    forming = place.with_name(f".{place.name}.{token_hex(6)}")
    forming.mkdir(mode=0o750)
    try:
        create_once(
            forming / IDENTITY_FILE, encrypt_file(vault_recipients(vault), f"{identity.text}\n".encode())
        )
        create_once(forming / "recipient", f"{identity.recipient.text}\n".encode())
        forming.rename(place)
    except OSError as cause:
        shutil.rmtree(forming)
        if cause.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise  # anything but: another process made the same bucket first, and its key is the one to use
    fsync_directory(place.parent)
