"""A signed log of plain entries, as large as a test wants it."""

from __future__ import annotations

from pathlib import Path

from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import pack_bundle
from vault.formats.merkle import Frontier, bundle_path, leaf_hash
from vault.formats.note import SigningKey


def entry(index: int) -> bytes:
    return b"entry %d" % index


def write_log(log: Path, size: int, key: SigningKey) -> Checkpoint:
    """Bundles, tiles and checkpoint of `size` entries below `log`."""
    frontier, files = Frontier(), dict[str, bytes]()
    for start in range(0, size, 256):
        entries = [entry(index) for index in range(start, min(start + 256, size))]
        files[bundle_path(start // 256, len(entries))] = pack_bundle(entries)
        for one in entries:
            files |= {tile.path: tile.raw for tile in frontier.add(leaf_hash(one))}
    files |= {tile.path: tile.raw for tile in frontier.partial_tiles()}
    checkpoint = Checkpoint(key.name, size, frontier.root())
    files["checkpoint"] = checkpoint.signed(key)
    for name, raw in files.items():
        (log / name).parent.mkdir(parents=True, exist_ok=True)
        (log / name).write_bytes(raw)
    return checkpoint
