"""Copies that an unplugged recorder cut off, kept for when it comes back.

Invariants: they live in this process only, because their keys are nowhere else; there are never more than a limit, the
oldest goes first; one that is given up leaves nothing on the vault's disk.
"""

from __future__ import annotations

from threading import Lock

from vault.store.deposit import Sealing

PARKED_LIMIT = 64  # interrupted copies kept in memory: more than the bays of the largest dock


class Parked:
    """Copies cut off by an unplugged recorder, by recording id; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._sealings: dict[str, Sealing] = {}
        self._lock = Lock()

    def put(self, recording_id: str, sealing: Sealing) -> None:
        """Keep a copy for when the recorder comes back."""
        with self._lock:
            self._sealings[recording_id] = sealing
            oldest = next(iter(self._sealings)) if len(self._sealings) > PARKED_LIMIT else None
            dropped = self._sealings.pop(oldest) if oldest else None
        if dropped is not None:
            dropped.abandon()

    def take(self, recording_id: str) -> Sealing | None:
        """The copy to go on with, if there is one."""
        with self._lock:
            return self._sealings.pop(recording_id, None)

    def abandon_all(self) -> None:
        """Give all of them up; called when the dock stops."""
        with self._lock:
            sealings, self._sealings = list(self._sealings.values()), {}
        for sealing in sealings:
            sealing.abandon()
