"""Depositing: from a recorder's bytes to a durable, encrypted object in `incoming/`, in one pass.

Page-aligned buffers are used again and again: read, hash the plaintext, encrypt, hash what will be stored, all while
the piece is in the processor's cache; a thread beside it writes past the page cache. Both digests therefore describe
bytes that went by exactly once. Invariants: plaintext never touches the disk; the file key never leaves this module
except wrapped to the bucket's recipient; a `.part` that was given up is removed; when `take` returns, object and name
are durable.

A source that goes away (an unplugged recorder) leaves the Sealing as it was at the last whole piece. `take` with the
recorder plugged in again reads the part that was already copied once more, compares its digest, and goes on: the
recorder may have been changed in between, and then the copy is worth nothing.
"""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from core import log
from core.clock import new_id
from core.digest import Sha256, sha256_hex
from core.durable import fsync_directory
from vault.formats.age import (
    ChunkSealer,
    Recipient,
    header_for,
    new_file_key,
    new_nonce,
    sealed_size,
)
from vault.store.keys import bucket_recipient
from vault.store.medium import PAGE, Buffers, DiskFullError, MediumError, PartFile, drop_quietly
from vault.store.objects import Vault
from vault.store.pipeline import Pipeline
from vault.store.source import (
    Progress,
    SourceChangedError,
    SourceLostError,
    SourceStream,
    fill,
    stop_if_asked,
)

__all__ = [
    "Deposit", "Depositor", "Progress", "Sealing", "SourceChangedError", "SourceLostError", "SourceStream",
    "sweep_incoming",
]  # fmt: skip

_LOG = log.get("vault.deposit")
_AT_THE_CIPHER = (
    Lock()
)  # it takes 64 KiB a call; streams taking turns between calls lose a twentieth to switching


@dataclass(frozen=True)
class Deposit:
    """A finished object in `incoming/`: everything its entry will say about it, and its wrapped key."""

    id: str
    size: int
    sha256: str
    stored_size: int
    stored_sha256: str
    bucket: str
    key_slot: bytes  # header || nonce, 184 bytes

    @property
    def header_sha256(self) -> str:
        """Digest of the key slot's content, as the entry carries it."""
        return sha256_hex(self.key_slot)


class Depositor:
    """Makes objects in one vault, all streams from one pool of buffers."""

    def __init__(self, vault: Vault, buffers: Buffers) -> None:
        self._vault = vault
        self._buffers = buffers

    def begin(self, bucket: str, *, expected_size: int = 0, entry_id: str | None = None) -> Sealing:
        """Start an object that can outlive an unplugged recorder; the bucket must exist (keys.ensure_bucket)."""
        return Sealing(self._vault, self._buffers, bucket, expected_size, entry_id or new_id())

    def deposit(
        self,
        source: SourceStream,
        bucket: str,
        *,
        expected_size: int = 0,
        entry_id: str | None = None,
        progress: Progress | None = None,
        cancel: Event | None = None,
    ) -> Deposit:
        """Copy `source` to its end in one go; whatever goes wrong, no `.part` stays. Errors as `Sealing.take`."""
        sealing = self.begin(bucket, expected_size=expected_size, entry_id=entry_id)
        try:
            return sealing.take(source, progress=progress, cancel=cancel)
        finally:
            sealing.abandon()


class Sealing:
    """One object on its way into the vault; used by one thread."""

    def __init__(
        self, vault: Vault, buffers: Buffers, bucket: str, expected_size: int, entry_id: str
    ) -> None:
        self.id = entry_id
        self.bucket = bucket
        self.done = 0  # plaintext bytes hashed and sealed
        self._path = vault.incoming_path(entry_id)
        self._buffers = buffers
        self._expected = expected_size
        file_key, nonce = new_file_key(), new_nonce()
        recipient = Recipient.parse(bucket_recipient(vault, bucket))
        self._key_slot = header_for([recipient], file_key) + nonce
        self._sealer = ChunkSealer(file_key, nonce)
        self._plain, self._stored = Sha256(), Sha256()
        self._tail = b""  # sealed bytes that do not fill a page yet
        self._written = 0
        self._part: PartFile | None = None

    def take(
        self, source: SourceStream, *, progress: Progress | None = None, cancel: Event | None = None
    ) -> Deposit:
        """Copy `source` from where the last `take` stopped to its end; durable on return.

        Raises SourceLostError (call `take` again, or `abandon`), SourceChangedError, DiskFullError, MediumError,
        CancelledError; after all but the first the object is given up and its `.part` is gone.
        """
        try:
            with self._buffers.lane(cancel) as lane:
                part = self._open_part()
                self._compare_prefix(source, lane.plain[0], cancel)
                Pipeline(self, part, lane).run(source, progress, cancel)
            return self._finish(part)
        except SourceLostError:
            raise
        except OSError as cause:  # the disk's: what a source meets is a SourceLostError
            self.abandon()
            if cause.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFullError(path=self._path, size=self._expected) from cause
            raise MediumError(path=self._path, why=cause.strerror or str(cause)) from cause
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Give up; after a finished `take` this does nothing. A disk that keeps the `.part` leaves it to the sweep."""
        if self._part is not None:
            self._part.close()
            self._part = None
            try:
                drop_quietly(self._path)
            except OSError as cause:
                _LOG.warning("a copy that was given up stays for now", path=str(self._path), why=str(cause))

    def begin_room(self, room: memoryview) -> int:
        """Put the tail that filled no page into the start of `room`; where the next piece goes."""
        end = len(self._tail)
        room[:end] = self._tail
        return end

    def seal(self, plain: memoryview, room: memoryview, place: int, *, final: bool) -> int:
        """The evidence digest, the cipher and the digest of what will be stored, one after the other on a piece."""
        self._plain.update(plain)
        with _AT_THE_CIPHER:
            end = place + self._sealer.seal(plain, room[place:], final=final)
        self._stored.update(room[place:end])
        self.done += len(plain)
        return end

    def finish_room(self, room: memoryview, end: int) -> int:
        """Whole pages may be written; the tail is kept for the next room, or padded behind the last piece."""
        whole = end // PAGE * PAGE
        if not self._sealer.is_finished:
            self._tail = bytes(room[whole:end])
            return whole
        padded = -(-end // PAGE) * PAGE
        room[end:padded] = bytes(padded - end)  # cut off again by the final truncate
        return padded

    def write(self, part: PartFile, pages: memoryview) -> None:
        """Whole pages, past the page cache."""
        part.write(pages, self._written)
        self._written += len(pages)

    def _open_part(self) -> PartFile:
        if self._part is None:
            self._part = PartFile(self._path)
            if self._expected:
                self._part.reserve(sealed_size(self._expected))
        return self._part

    def _compare_prefix(self, source: SourceStream, room: memoryview, cancel: Event | None) -> None:
        again, left = Sha256(), self.done
        while left:
            stop_if_asked(cancel)
            count = fill(source, room[: min(left, len(room))], self.done)
            if not count:
                raise SourceChangedError(done=self.done)
            again.update(room[:count])
            left -= count
        if self.done and again.hexdigest() != self._plain.hexdigest():
            raise SourceChangedError(done=self.done)

    def _finish(self, part: PartFile) -> Deposit:
        if not self._sealer.is_finished:
            raise ValueError("the object has no last chunk")
        stored_size = sealed_size(self.done)
        part.finish(stored_size)
        fsync_directory(self._path.parent)
        self._part = None
        return Deposit(
            self.id, self.done, self._plain.hexdigest(), stored_size, self._stored.hexdigest(),
            self.bucket, self._key_slot,
        )  # fmt: skip


def sweep_incoming(vault: Vault, alive: Collection[str]) -> list[Path]:
    """Remove what a dead dock left half-written; called when dockd starts. Gives the paths removed.

    Kept are the objects in `alive` (outbox.pending_ids: vaultd still has to take them over), objects set aside as
    mismatched, and objects that another process is writing at this moment (it holds a lock on them).
    """
    swept = []
    for path in sorted((vault.path / "incoming").glob("*.part")):
        if path.stem not in alive and not _is_being_written(path):
            drop_quietly(path)
            swept.append(path)
    if swept:
        fsync_directory(vault.path / "incoming")
    return swept


def _is_being_written(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
