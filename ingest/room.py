"""Room in the vault, promised before a copy begins: one account that all bays share.

Invariants: what is promised is never more than what is free beside the reserve, so that two recorders that are plugged
in together cannot both count on the same room; a promise is given back when its copy has ended, however that was; what
a copy has taken from the disk already (its file is allocated whole at its start) is not counted a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Lock

from ingest.error import IngestError
from ingest.status import DockStatus, TileState

_BLOCK = 512  # bytes of one st_blocks (stat(2))
_COPYING = frozenset({TileState.HANDED_IN, TileState.COPYING})
_AT_WORK = _COPYING | {TileState.RECOGNISING, TileState.VERIFYING}


class CardDoesNotFitError(IngestError):
    """A recorder holds more than the vault has room for."""

    code = "ingest.card_does_not_fit"
    sentence = (
        "The vault's disk lacks {missing} bytes for everything on this recorder. As much as fits is sealed; the rest "
        "stays on the recorder, which must not be cleared. Add storage to the vault, then dock it again."
    )


class Room:
    """The account. `free` says what is free beside the reserve, `path_of` where a copy lies while it is made."""

    def __init__(self, free: Callable[[], int], path_of: Callable[[str], Path]) -> None:
        self._free, self._path_of = free, path_of
        self._promised: dict[str, int] = {}
        self._total = 0
        self._begun: set[str] = set()
        self._lock = Lock()

    def promise(self, sizes: Mapping[str, int]) -> int:
        """Keep room for these files (plaintext sizes by recording): 0, or how many bytes are missing for them all.

        It is all or nothing: when something is missing, no promise was made. Those promised before stay as they are.
        """
        with self._lock:
            wanted = {one: _stored(size) for one, size in sizes.items() if one not in self._promised}
            needed = sum(max(0, size - self._taken(one)) for one, size in wanted.items())
            missing = needed - (self._free() - self._outstanding())
            if needed and missing > 0:
                return missing
            self._promised |= wanted
            self._total += sum(wanted.values())
            return 0

    def begin(self, recording_id: str) -> None:
        """This copy starts to take its room from the disk."""
        with self._lock:
            self._begun.add(recording_id)

    def give_back(self, recording_ids: Collection[str]) -> None:
        """These copies have ended, or will not be made now; unknown ones are passed over."""
        with self._lock:
            for one in recording_ids:
                self._total -= self._promised.pop(one, 0)
                self._begun.discard(one)

    @property
    def outstanding(self) -> int:
        """Bytes promised that no file has taken yet."""
        with self._lock:
            return self._outstanding()

    def _outstanding(self) -> int:
        taken = (min(self._promised[one], self._taken(one)) for one in self._begun if one in self._promised)
        return self._total - sum(taken)

    def _taken(self, recording_id: str) -> int:
        try:
            return self._path_of(recording_id).stat().st_blocks * _BLOCK
        except OSError:
            return 0


def _stored(size: int) -> int:
    return size + size // 1000  # age adds 16 bytes to each 64 KiB; the rest is for names and extents


def promised_by(status: DockStatus) -> int:
    """What the bays still have to copy, as the dock tells it: for those who are not in its process."""
    if status.is_stale:
        return 0
    copying = (bay for bay in status.bays if bay.state in _COPYING)
    return sum(max(0, bay.bytes_total - bay.bytes_done) for bay in copying)


def is_docking(status: DockStatus) -> bool:
    """Whether a recorder is being pulled at this moment; a dock that does not speak is not believed."""
    return not status.is_stale and any(bay.state in _AT_WORK for bay in status.bays)
