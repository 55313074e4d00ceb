"""Writing the log: one batch of entries becomes durable as a whole, or not at all.

Order of a batch, each step durable before the next one starts:
  1. body packs and key slots, entry bundles and tiles. Nothing points at them yet, so their order is free and the
     waits for the disk overlap.
  2. the names of 1: their directories.
  3. the checkpoint, replaced in one rename. From here on the batch is on the log.
A crash before 3 leaves bytes that no checkpoint covers; the next start sets them aside (vault.log.edge). Whoever opens
a second writer is refused: the lock on log/lock is held for the writer's life.
"""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core import log
from core.clock import utc_now
from core.durable import fsync_directory, replace
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import Cosigner
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH, Frontier, Tile, leaf_hash
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.log.batch import BatchFiles, Edge
from vault.log.edge import drop_partials, recover
from vault.log.ledger import LogReader
from vault.store.objects import Vault

BATCH_LIMIT = TILE_WIDTH  # so that a batch touches two bundles at most, and recovery knows where to look
_LOG = log.get("vault.writer")
_FSYNCS_AT_ONCE = 6  # a journalling file system commits waiting fsyncs together


class SecondWriterError(VaultError):
    """Another process is writing this log."""

    code = "vault.second_writer"
    sentence = (
        "Another vaultd already writes the log in {path}. Nothing was changed and this one stops; a log has one "
        "writer. Find the other with `systemctl status sealdock-vaultd` or `fuser {path}/lock`."
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

    def __init__(self, vault: Vault, key: SigningKey, cosigners: Sequence[Cosigner] = ()) -> None:
        """Take the lock, check the right edge against the checkpoint, cut off what no checkpoint covers.

        `cosigners` add their lines to every checkpoint, below the log's own (ML-DSA-44, SM2); one that fails leaves
        its line out and an error in the program's log, because evidence must not wait for an extra signature.
        Raises SecondWriterError, LogKeyError, NoCheckpointError, LogDamagedError, PackError or TileError.
        """
        if key.verifier != vault.verifier:
            raise LogKeyError(name=key.name, expected=vault.verifier.name)
        self.vault = vault
        self._key, self._cosigners = key, tuple(cosigners)
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
        drop_partials(self.vault, start, self.size)
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
        note = checkpoint.signed(self._key) + self._cosigned(checkpoint.text())
        replace(self.vault.log_path / "checkpoint", note)
        return checkpoint, note

    def _cosigned(self, text: str) -> bytes:
        """The further lines of a checkpoint; whoever knows none of their keys passes them over (signed-note)."""
        lines, at = list[bytes](), utc_now()
        for cosigner in self._cosigners:
            try:
                lines.append(cosigner.line(text, at))
            except VaultError as cause:
                _LOG.error("a checkpoint lacks a further signature", key=cosigner.vkey, why=str(cause))
        return b"".join(lines)

    def _recover(self) -> Edge:
        head = self.vault.log_path / "checkpoint"
        if not head.exists() and not (self.vault.path / "vault.json").exists():
            return Edge(
                Frontier(), [], 0
            )  # a vault being founded; its first batch makes the first checkpoint
        checkpoint, _ = LogReader(self.vault).checkpoint()
        fsync_directory(self.vault.log_path)  # whoever renamed the head may have died before that was durable
        return recover(self.vault, checkpoint)


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
