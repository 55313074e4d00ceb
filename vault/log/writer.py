"""Writing the log: one batch of entries becomes durable as a whole, or not at all.

Order of a batch, each step durable before the next one starts:
  1. body packs and key slots, entry bundles and tiles. Nothing points at them yet, so their order is free and the
     waits for the disk overlap.
  2. the names of 1: their directories.
  3. the checkpoint, replaced in one rename. From here on the batch is on the log.
A crash before 3 leaves bytes that no checkpoint covers; the next start cuts them off (`_cut`). Whoever opens a second
writer is refused: the lock on log/lock is held for the writer's life.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from core.durable import replace
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf, unpack_bundle
from vault.formats.merkle import TILE_WIDTH, DirectoryTiles, Frontier, Tile, bundle_path, leaf_hash, tile_path
from vault.formats.note import SigningKey
from vault.formats.pack import PAIR_ROOM, Private, committed_length
from vault.log.batch import BatchFiles, Edge
from vault.log.ledger import LogReader
from vault.store.objects import Vault

BATCH_LIMIT = TILE_WIDTH  # so that a batch touches two bundles at most, and recovery knows where to look
_FSYNCS_AT_ONCE = 6  # a journalling file system commits waiting fsyncs together


class SecondWriterError(VaultError):
    """Another process is writing this log."""

    code = "vault.second_writer"
    sentence = (
        "Another vaultd already writes the log in {path}. Nothing was changed and this one stops; a log has one "
        "writer. Find the other with `systemctl status sealdock-vaultd` or `fuser {path}/lock`."
    )


class LogDamagedError(VaultError):
    """The log's files do not agree with its signed checkpoint."""

    code = "vault.log_damaged"
    sentence = (
        "The log in {path} does not agree with its own signed checkpoint ({why}). Nothing was written, so that nothing "
        "is made worse; run `sealdock vault verify` and restore the named files from a copy."
    )


class LogWriteError(VaultError):
    """The disk refused part of a batch; no checkpoint was signed for it."""

    code = "vault.log_write"
    sentence = (
        "The log could not be written at {path} ({why}). No entry was lost and none was half-written: submissions wait "
        "in the outbox. Free space or replace the disk; vaultd goes on by itself after a restart."
    )


class LogFullError(LogWriteError):
    """No room for the log itself."""

    code = "vault.log_full"
    sentence = (
        "There is no room on the disk for the log at {path} ({why}). No entry was lost: submissions wait in the outbox "
        "and vaultd tries again every few seconds. Free space on the vault's disk."
    )


class LogKeyError(VaultError):
    """A signing key that is not this log's."""

    code = "vault.log_key"
    sentence = (
        "The signing key {name} is not the key of this vault ({expected}). Nothing was signed; "
        "check `keys` in the settings."
    )


@dataclass(frozen=True)
class Appended:
    """Where a batch went: the index of its first entry and the signed head after it."""

    start: int
    checkpoint: Checkpoint
    note: bytes


class LogWriter:
    """The one writer of a log. Memory is its right edge, however long the log is."""

    def __init__(self, vault: Vault, key: SigningKey) -> None:
        """Take the lock, check the right edge against the checkpoint, cut off what no checkpoint covers.

        Raises SecondWriterError, LogKeyError, NoCheckpointError, LogDamagedError, PackError or TileError.
        """
        if key.verifier != vault.verifier:
            raise LogKeyError(name=key.name, expected=vault.verifier.name)
        self.vault = vault
        self._key = key
        self._lock = _lock(vault.log_path)
        self._disk = ThreadPoolExecutor(_FSYNCS_AT_ONCE, thread_name_prefix="log-fsync")
        try:
            self._state = self._recover()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Entries on the log."""
        return self._state.frontier.size

    def append(self, batch: Sequence[tuple[Leaf, Private]]) -> Appended:
        """Put up to 256 entries on the log; durable and signed on return.

        Raises LogWriteError, after which this writer must be closed and a new one opened: only that cuts off what
        the failed batch left.
        """
        if not 0 < len(batch) <= BATCH_LIMIT:
            raise ValueError(f"a batch has 1 to {BATCH_LIMIT} entries")
        start, state = self.size, deepcopy(self._state)
        try:
            checkpoint, note = self._write(batch, state)
        except OSError as cause:
            kind = LogFullError if cause.errno in {errno.ENOSPC, errno.EDQUOT} else LogWriteError
            why = cause.strerror or str(cause)
            raise kind(path=cause.filename or self.vault.path, why=why) from cause
        self._state = state
        self._drop_partials(start)
        return Appended(start, checkpoint, note)

    def close(self) -> None:
        """Give up the lock."""
        self._disk.shutdown()
        self._lock.close()

    def _write(self, batch: Sequence[tuple[Leaf, Private]], state: Edge) -> tuple[Checkpoint, bytes]:
        filled: list[Tile] = []
        with BatchFiles(self.vault) as files:
            for entries in _by_bundle(batch, state.frontier.size):
                files.packs_and_slots(state, [private for _, private in entries])
                for leaf, _ in entries:
                    raw = leaf.canonical()
                    state.bundle.append(raw)
                    filled += state.frontier.add(leaf_hash(raw))
                files.bundle(state)
            files.tiles(filled, state.frontier)
            files.make_durable(self._disk)
        checkpoint = Checkpoint(self.vault.origin, state.frontier.size, state.frontier.root())
        note = checkpoint.signed(self._key)
        replace(self.vault.log_path / "checkpoint", note)
        return checkpoint, note

    def _recover(self) -> Edge:
        head = self.vault.log_path / "checkpoint"
        if not head.exists() and not (self.vault.path / "vault.json").exists():
            return Edge(
                Frontier(), [], 0
            )  # a vault being founded; its first batch makes the first checkpoint
        checkpoint, _ = LogReader(self.vault).checkpoint()
        size = checkpoint.size
        frontier = Frontier.resume(DirectoryTiles(self.vault.log_path, size), size)
        number, width = divmod(size, TILE_WIDTH)
        bundle = _read_bundle(self.vault.log_path / bundle_path(number, width)) if width else []
        self._check_edge(checkpoint, frontier, bundle)
        pack_length = committed_length(self.vault.packs.path(number), width)
        self._cut(size, pack_length)
        return Edge(frontier, bundle, pack_length)

    def _check_edge(self, checkpoint: Checkpoint, frontier: Frontier, bundle: list[bytes]) -> None:
        lowest = next((tile.hashes for tile in frontier.partial_tiles() if tile.level == 0), ())
        if frontier.root() != checkpoint.root:
            raise LogDamagedError(path=self.vault.log_path, why="its tiles lead to another root")
        if tuple(map(leaf_hash, bundle)) != lowest:
            raise LogDamagedError(path=self.vault.log_path, why="its last entries are not those in the tree")

    def _cut(self, size: int, pack_length: int) -> None:
        """Remove what lies beyond the checkpoint: bytes that were never part of the log."""
        number, width = divmod(size, TILE_WIDTH)
        _shorten(self.vault.packs.path(number), pack_length)
        _shorten(self.vault.slots.path(number), width * PAIR_ROOM)
        for store in (self.vault.packs, self.vault.slots):
            store.path(number + 1).unlink(missing_ok=True)
        self._cut_tile(size, bundle_path)
        level = 0
        while level == 0 or size >> 8 * (
            level - 1
        ):  # one level more than there is: the batch may have begun it
            self._cut_tile(size >> 8 * level, partial(tile_path, level))
            level += 1

    def _cut_tile(self, count: int, name: Callable[[int, int], str]) -> None:
        """Only the tile at the edge and the one after it can have been touched by the batch that was cut short."""
        number, width = divmod(count, TILE_WIDTH)
        for later, kept in ((number, width), (number + 1, 0)):
            (self.vault.log_path / name(later, TILE_WIDTH)).unlink(missing_ok=True)
            for part in self._partials(name(later, 1)):
                if not part.name.isdigit() or int(part.name) > kept:
                    part.unlink()

    def _drop_partials(self, start: int) -> None:
        """Remove partial tiles whose full tile is there (tlog-tiles allows it).

        One tile late, so that a reader who is in the middle of something finds what its checkpoint needs.
        """
        level = 0
        while (before := start >> 8 * (level + 1)) != self.size >> 8 * (level + 1):
            names = [tile_path(level, before - 1, 1)] if before else []
            if level == 0 and before:
                names.append(bundle_path(before - 1, 1))
            for name in names:
                for part in self._partials(name):
                    part.unlink()
            level += 1

    def _partials(self, name: str) -> list[Path]:
        directory = (self.vault.log_path / name).parent
        return list(directory.glob("*")) if directory.is_dir() else []


def _by_bundle(batch: Sequence[tuple[Leaf, Private]], size: int) -> list[Sequence[tuple[Leaf, Private]]]:
    room = TILE_WIDTH - size % TILE_WIDTH
    return [part for part in (batch[:room], batch[room:]) if part]


def _lock(log: Path) -> BinaryIO:
    file = (log / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        file.close()
        raise SecondWriterError(path=log) from cause
    return file


def _read_bundle(path: Path) -> list[bytes]:
    try:
        return unpack_bundle(path.read_bytes())
    except OSError as cause:
        raise LogDamagedError(path=path, why=cause.strerror) from cause


def _shorten(path: Path, length: int) -> None:
    """Cut a file to what the checkpoint covers; a file it covers nothing of goes away."""
    if not length:
        path.unlink(missing_ok=True)
    elif path.stat().st_size > length:
        with path.open("r+b") as file:
            file.truncate(length)
            os.fsync(file.fileno())
