"""Digests in one pass: bytes are hashed while they go by, never read a second time for it.

SHA-256 is the evidence digest. `cryptography` is used rather than `hashlib` because its OpenSSL is newer and
faster and releases the interpreter lock (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.hashes import SHA256, Hash


class Sha256:
    """A running SHA-256 that can be looked at on the way (a resumed copy compares prefixes)."""

    def __init__(self) -> None:
        self._hash = Hash(SHA256())

    def update(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in order."""
        self._hash.update(chunk)

    def hexdigest(self) -> str:
        """Digest of everything so far, lower-case hex; more may follow."""
        return self._hash.copy().finalize().hex()


def sha256_hex(whole: bytes | memoryview) -> str:
    """SHA-256 of bytes in memory, lower-case hex."""
    running = Sha256()
    running.update(whole)
    return running.hexdigest()


def pass_through(chunks: Iterable[bytes], running: Sha256) -> Iterator[bytes]:
    """Yield the chunks unchanged while `running` sees them."""
    for chunk in chunks:
        running.update(chunk)
        yield chunk
