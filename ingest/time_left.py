"""How long a docking session still takes, from what it took so far.

A session's time is so much for each file (opening it, making it durable, its entry) and so much for each byte. Small
files are taken first, so that the average of the past would promise hours for a card that needs minutes, or minutes
for one that needs hours. The two costs are therefore told apart: the time between the first and the last read of a
file belongs to its bytes; while files are too small for that, files of different sizes tell. What happened a while
ago weighs less.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from time import monotonic

TOLD_AFTER_S = 3.0  # of work; before that there is no number, because a wrong one is worse than none
FADES_S = 12.0  # what was measured so long ago weighs half: a hub that fills up shows within a minute
FEWEST_BYTES = 4 * 1024 * 1024  # read behind a first read, before their rate is believed
FEWEST_FILES = 4  # through fewer points no line is drawn
SPREAD = 0.25  # of the mean size: sizes more alike than this cannot tell a byte's cost from a file's


@dataclass
class Cost:
    """Seconds for so many units, the older the less."""

    units: float = 0.0
    seconds: float = 0.0

    def add(self, units: float, seconds: float) -> None:
        """Note that `units` took `seconds`."""
        keep = 0.5 ** (seconds / FADES_S)
        self.units, self.seconds = self.units * keep + units, self.seconds * keep + seconds

    @property
    def each(self) -> float:
        """Seconds for one unit; 0 when nothing was measured."""
        return self.seconds / self.units if self.units else 0.0


@dataclass
class Line:
    """Least squares of seconds over bytes, for whole files; the older the less."""

    count: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, size_bytes: int, seconds: float) -> None:
        """A file of this size took so long."""
        keep = 0.5 ** (seconds / FADES_S)
        self.count = self.count * keep + 1
        self.x, self.y = self.x * keep + size_bytes, self.y * keep + seconds
        self.xx, self.xy = self.xx * keep + size_bytes**2, self.xy * keep + size_bytes * seconds

    def slope(self) -> float:
        """Seconds for a byte, at most what all the time would make of it; 0 while the sizes are too much alike."""
        mean = self.x / self.count if self.count else 0.0
        spread = self.xx / self.count - mean * mean if self.count else 0.0
        if self.count < FEWEST_FILES or spread <= (SPREAD * mean) ** 2:
            return 0.0
        return min(max(0.0, (self.xy / self.count - mean * self.y / self.count) / spread), self.y / self.x)


class TimeLeft:
    """The estimate of one session. One thread tells it what happens; any thread may ask."""

    def __init__(self, files: int = 0, size_bytes: int = 0) -> None:
        self._files, self._bytes = files, size_bytes
        self._per_byte, self._per_file, self._whole, self._line = Cost(), Cost(), Cost(), Line()
        self._worked_s = 0.0
        self._read = self._first = 0  # bytes of the file at hand, and of its first read
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
            self._read, self._first, self._reading_s = 0, 0, 0.0

    def take(self, count: int, now: float | None = None) -> None:
        """So many bytes of the file at hand were read since the last call."""
        moment = monotonic() if now is None else now
        with self._lock:
            passed = max(0.0, moment - self._last_at)
            if self._read:
                self._per_byte.add(count, passed)
                self._reading_s += passed
            else:
                self._first = count
            self._worked_s += passed
            self._whole.add(count, passed)
            self._read, self._bytes, self._last_at = self._read + count, max(0, self._bytes - count), moment

    def end(self, size_bytes: int, now: float | None = None) -> None:
        """The file's turn is over, whatever came of it."""
        moment = monotonic() if now is None else now
        with self._lock:
            tail, took = max(0.0, moment - self._last_at), max(0.0, moment - self._began_at)
            self._worked_s += tail
            self._whole.add(0, tail)
            self._line.add(self._read, took)
            self._per_file.add(1, max(0.0, took - self._reading_s - self._first * self._byte_s()))
            self._files = max(0, self._files - 1)
            self._bytes = max(0, self._bytes - max(0, size_bytes - self._read))
            self._read = self._first = 0

    def seconds(self) -> int | None:
        """Whole seconds still to go; None while there is too little to tell."""
        with self._lock:
            if self._worked_s < TOLD_AFTER_S:
                return None
            each = self._byte_s()
            if each:
                return round(self._bytes * each + self._files * self._per_file.each)
            return round(self._bytes * self._whole.each) if self._whole.units else None

    def _byte_s(self) -> float:
        """Seconds for a byte, as well as it is known."""
        return self._per_byte.each if self._per_byte.units >= FEWEST_BYTES else self._line.slope()
