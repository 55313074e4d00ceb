"""Opening a recording's headers, with the re-wraps that lie over them; for keyd, which alone has a keyring.

Every header is held to an entry that is proven on the signed log before it is opened. The newest one that opens counts:
a re-wrap that nobody can open (a console in the wrong hands can submit one) does not lock out what was there before.
"""

from __future__ import annotations

from core.digest import sha256_hex
from core.errors import Exit
from vault.error import AgeError, VaultError
from vault.formats.age import HEADER_SIZE, Recipient, header_for
from vault.formats.entry import Leaf
from vault.log.ledger import LogReader
from vault.retention.chronicle import REWRAP
from vault.store.keys import Keyring, NoBucketError, bucket_recipient
from vault.store.objects import DisposedError, Vault
from vault.store.wrapping import Wrapping


class WrappingError(VaultError):
    """Headers that are not what the log says, or do not hold one key."""

    code = "vault.wrapping"
    sentence = (
        "The keys of this recording do not agree with the log ({why}). Nothing was given out or changed."
    )
    exit_code = Exit.NO


class Headers:
    """The headers of one recording, opened with one keyring; `place` and `leaf` are its proven `ingest` entry."""

    def __init__(self, vault: Vault, reader: LogReader, keyring: Keyring, place: int, leaf: Leaf) -> None:
        self._vault, self._reader, self._keyring = vault, reader, keyring
        self._place, self._leaf = place, leaf
        self._wrappings = vault.wrappings.of(place, leaf)

    def file_key(self) -> bytes:
        """From the newest header that opens. Raises DisposedError, NoBucketError, AgeError or WrappingError."""
        failure: VaultError = DisposedError(index=self._place)
        for wrapping in self._wrappings:
            try:
                return self._keyring.file_key(self._object_slot(wrapping), wrapping.bucket)
            except (NoBucketError, AgeError, WrappingError) as cause:
                failure = cause
            except DisposedError:
                continue
        raise failure

    def derived_key(self, slot: bytes) -> bytes:
        """Of a derivative, which lies in the bucket that its parent lay in when it was made. Raises as `file_key`."""
        failure: VaultError = DisposedError(index=self._place)
        for bucket in dict.fromkeys(wrapping.bucket for wrapping in self._wrappings):
            try:
                return self._keyring.file_key(slot, bucket)
            except (NoBucketError, AgeError) as cause:
                failure = cause
        raise failure

    def wrapped_for(self, bucket: str) -> tuple[bytes, bytes | None]:
        """New `header || nonce` of object and private part for another bucket, opened again before they are given.

        Raises WrappingError when a header does not open to the same key, and as `file_key`.
        """
        recipient = Recipient.parse(bucket_recipient(self._vault, bucket))
        nonce = self._object_slot(self._wrappings[-1])[HEADER_SIZE:]
        slot = self._wrapped(self.file_key(), nonce, recipient, bucket)
        body = self._body()
        return slot, None if body is None else self._wrapped(*body, recipient, bucket)

    def check_agree(self, bucket: str) -> None:
        """Raises WrappingError unless what lies in `bucket` also opens, to the same keys, from the newest re-wrap."""
        newest, *earlier = self._wrappings
        old = [wrapping for wrapping in earlier if wrapping.bucket == bucket]
        if newest.bucket == bucket or not old:
            raise WrappingError(why=f"the recording was not re-wrapped out of {bucket}")
        wanted = self._keys_in(newest)
        if any(self._keys_in(wrapping) != wanted for wrapping in old):
            raise WrappingError(why="the re-wrap holds another key")

    def _wrapped(self, file_key: bytes, nonce: bytes, recipient: Recipient, bucket: str) -> bytes:
        slot = header_for([recipient], file_key) + nonce
        if self._keyring.file_key(slot, bucket) != file_key:
            raise WrappingError(why="the new header does not open to the same key")
        return slot

    def _body(self) -> tuple[bytes, bytes] | None:
        """Key and nonce of the private part, from the newest header that opens; None when there is none."""
        for wrapping in self._wrappings if self._leaf.body else ():
            try:
                slot = self._body_slot(wrapping)
                return self._keyring.file_key(slot, wrapping.bucket), slot[HEADER_SIZE:]
            except (NoBucketError, AgeError, WrappingError):
                continue
        if self._leaf.body is not None:
            raise WrappingError(why="its private part cannot be opened")
        return None

    def _keys_in(self, wrapping: Wrapping) -> tuple[bytes, bytes, bytes | None, bytes | None]:
        """File key and nonce of object and private part under one wrapping."""
        slot = self._object_slot(wrapping)
        key, nonce = self._keyring.file_key(slot, wrapping.bucket), slot[HEADER_SIZE:]
        if self._leaf.body is None:
            return key, nonce, None, None
        body = self._body_slot(wrapping)
        return key, nonce, self._keyring.file_key(body, wrapping.bucket), body[HEADER_SIZE:]

    def _object_slot(self, wrapping: Wrapping) -> bytes:
        slot = self._vault.slots.object_slot(wrapping.index)
        if slot is None:
            raise DisposedError(index=wrapping.index)
        entry = self._entry(wrapping)
        told = entry.object.header_sha256 if entry.object else entry.facts["object_header_sha256"]
        if sha256_hex(slot) != told:
            raise WrappingError(why="the wrapped key is not the one that the entry commits to")
        return slot

    def _body_slot(self, wrapping: Wrapping) -> bytes:
        slot = self._vault.slots.body_slot(wrapping.index) or b""
        entry = self._entry(wrapping)
        told = entry.body.header_sha256 if entry.body else entry.facts.get("body_header_sha256")
        if sha256_hex(slot) != told:
            raise WrappingError(
                why="the wrapped key of its private part is not the one that the entry commits to"
            )
        return slot

    def _entry(self, wrapping: Wrapping) -> Leaf:
        """The entry of a wrapping, proven, and about this very recording."""
        if wrapping.index == self._place:
            return self._leaf
        entry = self._reader.proven_leaf(wrapping.index)
        if entry.type != REWRAP or entry.about != (self._leaf.id,):
            raise WrappingError(why="the re-wrap is about something else")
        return entry
