"""The files of one batch of the log: written at once, made durable together, named last.

New files are written under a temporary name and renamed after their fsync; packs and slot files are written beyond the
end that the checkpoint covers. Nothing here is on the log until the caller replaces the checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from core.durable import fsync_directory, settle_directory
from vault.formats.entry import pack_bundle
from vault.formats.merkle import TILE_WIDTH, Frontier, Tile, bundle_path
from vault.formats.pack import FILE_MODE, PAIR_ROOM, Private, encode_record, encode_slots
from vault.store.objects import Vault


@dataclass
class Edge:
    """The right edge of log and packs; replaced only by a batch that is durable."""

    frontier: Frontier
    bundle: list[bytes]  # entries of the last, unfinished bundle
    pack_length: int  # committed bytes of its pack


class BatchFiles:
    """The files of one batch: written at once, made durable together."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._open: list[tuple[BinaryIO, Path | None, Path]] = []  # file, temporary name, final name
        self._directories: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _temporary, _final in self._open:
            file.close()

    def packs_and_slots(self, state: Edge, privates: Sequence[Private]) -> None:
        """Append bodies to the pack and put the slots in their places."""
        number, first = divmod(state.frontier.size, TILE_WIDTH)
        records = b"".join(encode_record(private.body) for private in privates)
        length = state.pack_length if first else 0
        self._write_at(self._vault.packs.path(number), length, records)
        self._write_at(self._vault.slots.path(number), first * PAIR_ROOM, encode_slots(privates))
        state.pack_length = length + len(records)

    def bundle(self, state: Edge) -> None:
        """The bundle that the last entries went to; a full one is begun anew."""
        number = (state.frontier.size - 1) // TILE_WIDTH
        self._write_new(bundle_path(number, len(state.bundle)), pack_bundle(state.bundle))
        if len(state.bundle) == TILE_WIDTH:
            state.bundle = []

    def tiles(self, filled: Sequence[Tile], frontier: Frontier) -> None:
        """The tiles that were filled and the unfinished ones that changed with them."""
        touched = {tile.level + 1 for tile in filled} | {0}
        for tile in (*filled, *(tile for tile in frontier.partial_tiles() if tile.level in touched)):
            self._write_new(tile.path, tile.raw)

    def make_durable(self, disk: ThreadPoolExecutor) -> None:
        """Step 1 and 2; a failed fsync is never tried again (ADR 0005)."""
        list(disk.map(os.fsync, [file.fileno() for file, _, _ in self._open]))
        for _, temporary, final in self._open:
            if temporary is not None:
                temporary.replace(final)
        list(disk.map(fsync_directory, self._directories))

    def _write_at(self, path: Path, offset: int, content: bytes) -> None:
        if not path.exists():
            settle_directory(path.parent, self._vault.path)
            self._directories.add(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        self._open.append((file, None, path))
        _write_all(descriptor, content, offset)

    def _write_new(self, name: str, content: bytes) -> None:
        path = self._vault.log_path / name
        settle_directory(path.parent, self._vault.path)
        temporary = path.with_name(f".{path.name}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        self._open.append((os.fdopen(descriptor, "r+b", buffering=0), temporary, path))
        _write_all(descriptor, content, 0)
        self._directories.add(path.parent)


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
