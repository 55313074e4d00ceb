"""A sealed spool: bytes that must wait on disk wait under a key that only this process ever had.

For a stream whose beginning is known last. Nothing can be read from the file afterwards, by anybody; it is
gone from its directory before the first byte is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

from vault.formats.age import CHUNK_SIZE, ChunkSealer, PayloadReader, new_file_key, new_nonce, sealed_size

BLOCK_SIZE = 16 * CHUNK_SIZE  # plaintext sealed and read back at a time


class SealedSpool:
    """Write everything, then read everything. Use as a context; the space is given back at its end."""

    def __init__(self, directory: Path) -> None:
        self._file = TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  # closed by __exit__
        self._file_key, self._nonce = new_file_key(), new_nonce()
        self._sealer = ChunkSealer(self._file_key, self._nonce)
        self._held, self._sealed = bytearray(), bytearray(sealed_size(BLOCK_SIZE))
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises OSError, for a full disk."""
        self.size += len(piece)
        self._held += piece
        while len(self._held) > BLOCK_SIZE:  # one byte stays, because the last chunk is marked as such
            self._seal(self._held[:BLOCK_SIZE], final=False)
            del self._held[:BLOCK_SIZE]

    def read(self) -> Iterator[bytes]:
        """Everything that was written, in order; nothing can be written any more."""
        self._seal(self._held, final=True)
        descriptor = os.dup(self._file.fileno())
        with PayloadReader(descriptor, self._file_key, self._nonce, name="spool") as reader:
            while piece := reader.read(BLOCK_SIZE):
                yield piece

    def _seal(self, plain: bytearray, *, final: bool) -> None:
        written = self._sealer.seal(plain, self._sealed, final=final)
        view = memoryview(self._sealed)[:written]
        while view:
            view = view[self._file.write(view) :]
