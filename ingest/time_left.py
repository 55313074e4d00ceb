"""How long a docking session still takes, from what it took so far.

A session's time is so much for each file (finding it, making it durable, its entry) and so much for each byte. Small
files are taken first, so that the average of the past would promise hours for a card that needs minutes, or minutes
for one that needs hours. The two costs are therefore told apart: the time from a file's being open to its last read
belongs to its bytes, all else to the file. What happened a while ago weighs less; a file's cost, which the station's
other work moves up and down, is believed for longer than the rate of a card, which a full hub changes for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from time import monotonic

TOLD_AFTER_S = 3.0  # of work; before that there is no number, because a wrong one is worse than none
FADES_S = 12.0  # what was measured so long ago weighs half: a hub that fills up shows within a minute
FILE_FADES_S = 30.0  # the same of a file's cost; fsyncs and the log come in bursts (bench/dock_left.py)
FEWEST_BYTES = 64 * 1024  # read, before their rate is believed


@dataclass
class Cost:
    """Seconds for so many units, the older the less."""

    fades_s: float = FADES_S
    units: float = 0.0
    seconds: float = 0.0

    def add(self, units: float, seconds: float) -> None:
        """Note that `units` took `seconds`."""
        keep = 0.5 ** (seconds / self.fades_s)
        self.units, self.seconds = self.units * keep + units, self.seconds * keep + seconds

    @property
    def each(self) -> float:
        """Seconds for one unit; 0 when nothing was measured."""
        return self.seconds / self.units if self.units else 0.0


class TimeLeft:
    """The estimate of one session. One thread tells it what happens; any thread may ask."""

    def __init__(self, files: int = 0, size_bytes: int = 0) -> None:
        self._files, self._bytes = files, size_bytes
        self._per_byte, self._per_file = Cost(), Cost(FILE_FADES_S)
        self._worked_s = 0.0
        self._read, self._is_open = 0, False  # of the file at hand
        self._began_at = self._last_at = self._reading_s = 0.0
        self._lock = Lock()

    def plan(self, files: int, size_bytes: int) -> None:
        """What is really to be read from here on."""
        with self._lock:
            self._files, self._bytes = files, size_bytes

    def begin(self, now: float | None = None) -> None:
        """A file has its turn; what was waited for the turn is behind us."""
        with self._lock:
            self._began_at = self._last_at = monotonic() if now is None else now
            self._read, self._is_open, self._reading_s = 0, False, 0.0

    def opened(self, now: float | None = None) -> None:
        """The file was found; from here on its bytes are read."""
        with self._lock:
            self._pass(monotonic() if now is None else now)
            self._is_open = True

    def take(self, count: int, now: float | None = None) -> None:
        """So many bytes of the file at hand were read since the last call."""
        with self._lock:
            passed = self._pass(monotonic() if now is None else now)
            if self._is_open:
                self._per_byte.add(count, passed)
                self._reading_s += passed
            self._read, self._is_open = self._read + count, True
            self._bytes = max(0, self._bytes - count)

    def end(self, size_bytes: int, now: float | None = None) -> None:
        """The file's turn is over, whatever came of it."""
        with self._lock:
            self._pass(monotonic() if now is None else now)
            self._per_file.add(1, max(0.0, self._last_at - self._began_at - self._reading_s))
            self._files = max(0, self._files - 1)
            self._bytes = max(0, self._bytes - max(0, size_bytes - self._read))
            self._read, self._is_open = 0, False

    def seconds(self) -> int | None:
        """Whole seconds still to go; None while there is too little to tell."""
        with self._lock:
            if self._worked_s < TOLD_AFTER_S or (self._bytes and self._per_byte.units < FEWEST_BYTES):
                return None
            return round(self._bytes * self._per_byte.each + self._files * self._per_file.each)

    def _pass(self, moment: float) -> float:
        """Time went by, and so much of it; the lock is held."""
        passed = max(0.0, moment - self._last_at)
        self._last_at = max(self._last_at, moment)
        self._worked_s += passed
        return passed
