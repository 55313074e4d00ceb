"""The right edge of the log: checked against the signed head at every start, and cut there.

Invariants: nothing is written to a log whose edge does not lead to its signed root. What lies beyond the checkpoint
was never on the log, and is still copied to log/cut/<size>-<token>/ before it is cut off: if somebody put back an older
checkpoint, those bytes are the only keys and bodies of entries that were acknowledged. A batch reaches no further than
the bundle after the edge, so anything beyond that is an older checkpoint for certain, and the start is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_hex

from core import log
from core.durable import create_once, settle_directory
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import unpack_bundle
from vault.formats.merkle import TILE_WIDTH, DirectoryTiles, Frontier, bundle_path, leaf_hash, tile_path
from vault.formats.pack import PAIR_ROOM, committed_length
from vault.log.batch import Edge
from vault.store.objects import Vault

CUT = "cut"
_LOG = log.get("vault.edge")


class LogDamagedError(VaultError):
    """The log's files do not agree with its signed checkpoint."""

    code = "vault.log_damaged"
    sentence = (
        "The log in {path} does not agree with its own signed checkpoint ({why}). Nothing was written, so that nothing "
        "is made worse; run `sealdock vault verify` and restore the named files from a copy."
    )


def recover(vault: Vault, checkpoint: Checkpoint) -> Edge:
    """Check the edge, set aside and cut off what no checkpoint covers; the caller holds the writer's lock.

    Raises LogDamagedError, PackError, TileError, or OSError when the disk refuses.
    """
    size = checkpoint.size
    frontier = Frontier.resume(DirectoryTiles(vault.log_path, size), size)
    number, width = divmod(size, TILE_WIDTH)
    bundle = _read_bundle(vault.log_path / bundle_path(number, width)) if width else []
    _check(vault, checkpoint, frontier, bundle)
    pack_length = committed_length(vault.packs.path(number), width)
    _Cut(vault, size, pack_length).run()
    return Edge(frontier, bundle, pack_length)


def drop_partials(vault: Vault, start: int, size: int) -> None:
    """Remove partial tiles whose full tile is there (tlog-tiles allows it), after a batch from `start` to `size`.

    One tile late, so that a reader who is in the middle of something finds what its checkpoint needs.
    """
    level = 0
    while (before := start >> 8 * (level + 1)) != size >> 8 * (level + 1):
        names = [tile_path(level, before - 1, 1)] if before else []
        if level == 0 and before:
            names.append(bundle_path(before - 1, 1))
        for name in names:
            for part in _partials(vault, name):
                part.unlink()
        level += 1


def _check(vault: Vault, checkpoint: Checkpoint, frontier: Frontier, bundle: list[bytes]) -> None:
    lowest = next((tile.hashes for tile in frontier.partial_tiles() if tile.level == 0), ())
    if frontier.root() != checkpoint.root:
        raise LogDamagedError(path=vault.log_path, why="its tiles lead to another root")
    if tuple(map(leaf_hash, bundle)) != lowest:
        raise LogDamagedError(path=vault.log_path, why="its last entries are not those in the tree")


class _Cut:
    """What lies beyond one checkpoint: first copied whole, then removed, so that a crash between loses nothing."""

    def __init__(self, vault: Vault, size: int, pack_length: int) -> None:
        self._vault, self._size = vault, size
        self._number, self._width = divmod(size, TILE_WIDTH)
        slots_length = self._width * PAIR_ROOM
        self._tails = [  # files beside the log, and how much of each the checkpoint covers
            (vault.packs.path(self._number), pack_length),
            (vault.slots.path(self._number), slots_length),
            (vault.packs.path(self._number + 1), 0),
            (vault.slots.path(self._number + 1), 0),
        ]

    def run(self) -> None:
        """Check that the edge is whole and that no more than one batch lies beyond it; then keep and cut."""
        self._check_lengths()
        self._check_reach()
        self._keep()
        for path, length in self._tails:
            _shorten(path, length)
        self._cut_tiles()

    def _check_lengths(self) -> None:
        for path, length in self._tails:
            if length and (not path.exists() or path.stat().st_size < length):
                raise LogDamagedError(path=path, why="it is missing, or ends before the last entry")

    def _check_reach(self) -> None:
        beyond = self._number + 2
        for path in (self._vault.packs.path(beyond), self._vault.slots.path(beyond)):
            if path.exists():
                why = f"{path} belongs to entries that this checkpoint does not know: it is an older copy"
                raise LogDamagedError(path=self._vault.log_path, why=why)

    def _keep(self) -> None:
        """Copy packs, slots and entries beyond the checkpoint; nothing is made when there are none."""
        found = [(path, at) for path, at in self._tails if path.exists() and path.stat().st_size > at]
        found += [(path, 0) for path in self._entries_beyond()]
        if not found:
            return
        place = self._vault.log_path / CUT / f"{self._size}-{token_hex(6)}"
        settle_directory(place, self._vault.path)
        for path, at in found:
            name = "-".join(path.relative_to(self._vault.path).parts)
            create_once(place / f"{name}.from-{at}", path.read_bytes()[at:])
        _LOG.warning("bytes beyond the checkpoint are set aside", place=str(place), files=len(found))

    def _entries_beyond(self) -> list[Path]:
        """Entry bundles that hold more than the checkpoint covers."""
        found = []
        for number, kept in ((self._number, self._width), (self._number + 1, 0)):
            full = self._vault.log_path / bundle_path(number, TILE_WIDTH)
            parts = _partials(self._vault, bundle_path(number, 1))
            found += [part for part in parts if part.name.isdigit() and int(part.name) > kept]
            found += [full] if full.exists() else []
        return found

    def _cut_tiles(self) -> None:
        self._cut_tile(self._size, bundle_path)
        level = 0
        while level == 0 or self._size >> 8 * (
            level - 1
        ):  # one level more than there is: a batch may begin it
            self._cut_tile(self._size >> 8 * level, partial(tile_path, level))
            level += 1

    def _cut_tile(self, count: int, name: Callable[[int, int], str]) -> None:
        """Only the tile at the edge and the one after it can have been touched by the batch that was cut short."""
        number, width = divmod(count, TILE_WIDTH)
        for later, kept in ((number, width), (number + 1, 0)):
            (self._vault.log_path / name(later, TILE_WIDTH)).unlink(missing_ok=True)
            for part in _partials(self._vault, name(later, 1)):
                if not part.name.isdigit() or int(part.name) > kept:
                    part.unlink()


def _partials(vault: Vault, name: str) -> list[Path]:
    directory = (vault.log_path / name).parent
    return list(directory.glob("*")) if directory.is_dir() else []


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
