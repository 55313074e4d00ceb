"""File keys in memory, for minutes: a player asks for a range every second and keyd once.

A key belongs to one web session, one recording and one rendition. It is gone after five minutes, at sign-out,
and with the process; it is never written anywhere.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vault.formats.entry import Leaf

KEEP_S = 300.0
MOST_KEYS = 2048  # twenty people with a page of a hundred posters each


class KeyName(NamedTuple):
    """Whose look at what a key serves."""

    session_id: str
    recording_id: str
    rendition: str


@dataclass(frozen=True)
class SealedKey:
    """A file key, and the entry whose object (or whose object's derivative) it opens."""

    file_key: bytes
    index: int
    leaf: Leaf


@dataclass(frozen=True)
class _Held:
    key: SealedKey
    until: float


class KeyCache:
    """Keys by name, the oldest leaves first; any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[KeyName, _Held] = OrderedDict()

    def get(self, name: KeyName) -> SealedKey | None:
        """The key while it is kept, None afterwards."""
        with self._lock:
            held = self._held.get(name)
            if held is not None and held.until <= self._clock():
                del self._held[name]
                held = None
        return None if held is None else held.key

    def put(self, name: KeyName, key: SealedKey) -> None:
        """Keep a key for five minutes from now."""
        with self._lock:
            self._held.pop(name, None)
            self._held[name] = _Held(key, self._clock() + KEEP_S)
            while len(self._held) > MOST_KEYS:
                self._held.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """Drop everything a web session had."""
        with self._lock:
            for name in [name for name in self._held if name.session_id == session_id]:
                del self._held[name]
