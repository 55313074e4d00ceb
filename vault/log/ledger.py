"""Reading the log: a vault directory's checkpoint, entries and proofs, for any process that may read the files.

The log is C2SP tlog-tiles with one signed checkpoint. A reader needs no lock: everything a checkpoint covers was
durable before the checkpoint was, and a partial tile stays until long after the full one is there. What a reader
gives out is as true as the files; `Receipt.verify` and vault.audit.verify make it proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from core.regular import read_bounded
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.entry import ENTRY_LIMIT, Leaf, unpack_bundle
from vault.formats.merkle import TILE_WIDTH, DirectoryTiles, TileError, bundle_path, inclusion_proof
from vault.formats.proof import Receipt
from vault.store.objects import Vault

_BUNDLE_LIMIT = TILE_WIDTH * (2 + ENTRY_LIMIT)  # bytes
_BUNDLES_KEPT = 16  # 16 * 256 entries of some 600 bytes


class NoCheckpointError(VaultError):
    """The vault has no readable checkpoint."""

    code = "vault.no_checkpoint"
    sentence = (
        "The log's head {path} cannot be read ({why}). Nothing was changed; restore log/checkpoint from the newest "
        "copy of the vault and from no other, because an older head forgets entries, and run `sealdock vault verify`."
    )


class NoEntryError(VaultError):
    """An index beyond the log."""

    code = "vault.no_entry"
    sentence = "The log has no entry {index}; it has {size}."


class LogReader:
    """The log of one vault; safe to share between threads."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self._full_bundle = lru_cache(_BUNDLES_KEPT)(self._read_bundle)

    def checkpoint(self) -> tuple[Checkpoint, bytes]:
        """The newest signed head and the note it stands in. Raises NoCheckpointError or NoteSignatureError."""
        path = self.vault.log_path / "checkpoint"
        try:
            note = path.read_bytes()
        except OSError as cause:
            raise NoCheckpointError(path=path, why=cause.strerror) from cause
        return parse_checkpoint(note, self.vault.verifier), note

    @property
    def size(self) -> int:
        """Entries that the newest checkpoint covers."""
        return self.checkpoint()[0].size

    def raw(self, index: int, size: int | None = None) -> bytes:
        """The bytes of entry `index`. Raises NoEntryError or TileError."""
        size = self.size if size is None else size
        if not 0 <= index < size:
            raise NoEntryError(index=index, size=size)
        return self._bundle(index // TILE_WIDTH, size)[index % TILE_WIDTH]

    def leaf(self, index: int) -> Leaf:
        """Entry `index`. Raises NoEntryError, TileError or EntryError."""
        return Leaf.parse(self.raw(index))

    def raws(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of entries start..stop in order; to the end of the log when `stop` is left out."""
        size = self.size
        stop = size if stop is None else min(stop, size)
        while start < stop:
            number, first = divmod(start, TILE_WIDTH)
            entries = self._bundle(number, size)[first : first + stop - start]
            yield from entries
            start += len(entries)

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
        """Entries start..stop in order."""
        return map(Leaf.parse, self.raws(start, stop))

    def proof(self, index: int) -> bytes:
        """The receipt of entry `index`: a tlog-proof against the newest checkpoint with the entry as `extra`."""
        checkpoint, note = self.checkpoint()
        leaf = Leaf.parse(self.raw(index, checkpoint.size))
        tiles = DirectoryTiles(self.vault.log_path, checkpoint.size)
        return Receipt.build(leaf, index, inclusion_proof(tiles, index, checkpoint.size), note).raw()

    def proven_leaf(self, index: int) -> Leaf:
        """Entry `index` after its inclusion in the signed tree was checked. Raises VaultError."""
        return Receipt.parse(self.proof(index)).verify(self.vault.verifier)

    def _bundle(self, number: int, size: int) -> list[bytes]:
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        if width == TILE_WIDTH:
            return self._full_bundle(number, TILE_WIDTH)
        try:
            return self._read_bundle(number, width)
        except TileError:  # the log grew meanwhile and the full bundle took this one's place
            return self._full_bundle(number, TILE_WIDTH)[:width]

    def _read_bundle(self, number: int, width: int) -> list[bytes]:
        path: Path = self.vault.log_path / bundle_path(number, width)
        try:
            entries = unpack_bundle(read_bounded(path, _BUNDLE_LIMIT))
        except OSError as cause:
            raise TileError(path=path) from cause
        if len(entries) != width:
            raise TileError(path=path)
        return entries
