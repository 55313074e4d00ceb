"""What the machine could do at best at this moment: the primitives alone, on buffers that stay in the cache.

Every ideal in the benches is computed from these, measured in the same run.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, Hash

_ROUND = 64 * 2**20  # bytes of one look; a few dozen milliseconds
_LOOKS = 7
_CHUNK = 65536  # of an age payload
_TAG = 16


def sha256_rate() -> float:
    """Bytes hashed per CPU second, 1 MiB at a time."""
    room = memoryview(bytearray(os.urandom(2**20)))
    running = Hash(SHA256())
    return _usual(lambda: running.update(room), len(room))


def seal_rate() -> float:
    """Bytes encrypted per CPU second with ChaCha20-Poly1305, 64 KiB at a time, buffer to buffer."""
    cipher, plain, out = ChaCha20Poly1305(bytes(32)), bytearray(_CHUNK), bytearray(_CHUNK + _TAG)
    nonce = bytes(12)
    return _usual(lambda: cipher.encrypt_into(nonce, plain, None, out), _CHUNK)


def open_rate() -> float:
    """Bytes decrypted and authenticated per CPU second, 64 KiB at a time, buffer to buffer."""
    cipher, nonce = ChaCha20Poly1305(bytes(32)), bytes(12)
    sealed, out = cipher.encrypt(nonce, bytes(_CHUNK), None), bytearray(_CHUNK)
    return _usual(lambda: cipher.decrypt_into(nonce, sealed, None, out), _CHUNK)


def fetch_rate(path: Path) -> float:
    """Bytes taken from the page cache per CPU second, 512 KiB at a time, from the start of a file of 64 MiB or more."""
    room = memoryview(bytearray(2**19))
    with path.open("rb", buffering=0) as file:
        places = cycle(range(0, _ROUND, len(room)))
        return _usual(lambda: os.preadv(file.fileno(), [room], next(places)), len(room))


def ideal(*passes: float) -> float:
    """Bytes per CPU second of doing all of these to every byte, one after the other."""
    return 1 / sum(1 / one for one in passes)


def _usual(once: Callable[[], object], size: int) -> float:
    """The median of several looks, as what is compared with it is a median: a busy machine is busy for both."""
    rates = []
    for _ in range(_LOOKS):
        start = time.thread_time()
        for _ in range(_ROUND // size):
            once()
        rates.append(_ROUND / (time.thread_time() - start))
    return statistics.median(rates)
