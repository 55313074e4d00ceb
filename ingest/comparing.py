"""Whether what is on the recorder is what has a receipt: a sample of known files, or each of them, read again.

Invariants: the sample is read before anything is passed over; one file of it that differs or cannot be read, and every
known file gets a row of its own and is copied, also when the session goes on after an interruption. A file is believed
by its name only when it was among those that were sampled, has a time, and its recorder a serial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core import log
from devices.recorder import SourceStream
from ingest.copying import Copying
from ingest.damage import DEPARTURE_S
from ingest.error import UnpluggedError, UnreadableFileError
from ingest.plan import Plan, Planned, add_found, is_same
from ingest.reckoning import Sample
from ingest.recording import IngestRecording
from ingest.sample import draw
from ingest.time_left import TimeLeft
from vault.store.medium import CancelledError

_log = log.get(__name__)


class Timed:
    """A stream that tells what was read of it."""

    def __init__(self, inner: SourceStream, told: Callable[[int], None]) -> None:
        self._inner, self._told, self.size = inner, told, inner.size

    def readinto(self, buffer: memoryview, /) -> int:
        """Read on. Raises OSError."""
        count = self._inner.readinto(buffer)
        self._told(count)
        return count

    def seek(self, offset: int) -> None:
        """Go to a byte offset from the start."""
        self._inner.seek(offset)

    def close(self) -> None:
        """Let go of the file."""
        self._inner.close()


@dataclass
class Comparing:
    """Reads known files of one session again. `shown` is told the file, `told` the bytes just read."""

    copying: Copying
    sample: Sample
    time_left: TimeLeft
    shown: Callable[[Planned], None]
    told: Callable[[int], None]

    def sample_known(self, plan: Plan) -> None:
        """Read a random sample of what has receipts; one that differs, and nothing is believed by its name.

        Raises UnpluggedError or CancelledError.
        """
        known = plan.known
        if not self._has_serial or not known:
            self._expect(plan)
            return
        chosen = draw(known)
        self.sample.known, self.sample.read = len(known), len(chosen)
        self.time_left.plan(len(chosen), sum(one.file.size for one in chosen))
        for planned in chosen:
            self.shown(planned)
            planned.is_compared = self._equals(planned)
            if not planned.is_compared:
                self.sample.differs = True
                self._disbelieve(known)
                break
        self._expect(plan)

    def is_believed(self, planned: Planned, known: IngestRecording) -> bool:
        """By its name among files that were sampled; where the name says less, by what it holds.

        Raises UnreadableFileError, UnpluggedError or CancelledError.
        """
        if planned.is_compared or planned.is_damaged:
            return True
        if not self._has_serial:
            planned.is_compared = self._has_same_bytes(planned, known, by_edges=False)
            return planned.is_compared
        return planned.file.modified_at is not None or self._has_same_bytes(planned, known, by_edges=True)

    def disbelieve(self, planned: Planned) -> None:
        """It only looked like a file that has a receipt: it is copied, under a row of its own."""
        _log.warning("another file under a name that was sealed", file=planned.file.shown_path)
        self._disbelieve([planned])

    @property
    def _has_serial(self) -> bool:
        return bool(self.copying.recorder.identity.serial)

    def _equals(self, planned: Planned) -> bool:
        """Whether a sampled file is read whole and is what its receipt says; a file that cannot be read is not."""
        if self.copying.stop.is_set():
            raise CancelledError
        try:
            return planned.known is not None and self._has_same_bytes(planned, planned.known, by_edges=False)
        except UnreadableFileError as cause:
            _log.warning("a sampled file cannot be read", file=planned.file.shown_path, why=str(cause))
            return False

    def _disbelieve(self, known: list[Planned]) -> None:
        _log.warning("copied although there is a receipt", files=len(known), session=self.copying.docking.id)
        with self.copying.line.db.writing() as session:
            for planned in known:
                add_found(session, planned, self.copying.recorder.identity.serial, self.copying.docking)
                planned.is_compared = False

    def _expect(self, plan: Plan) -> None:
        """What is still to be read from here on."""
        sizes = [one.file.size for one in plan.files if one.known is None or not self._has_serial]
        self.time_left.plan(len(sizes), sum(sizes))

    def _has_same_bytes(self, planned: Planned, known: IngestRecording, *, by_edges: bool) -> bool:
        recorder = self.copying.recorder
        try:
            with self.copying.turn() as served:
                stream = recorder.open(planned.file)
                self.time_left.opened()
                try:
                    return is_same(Timed(stream, self._on_bytes), known, by_edges=by_edges)
                finally:
                    stream.close()
                    served(planned.file.size)
                    self.time_left.end(planned.file.size)
        except OSError as cause:
            if recorder.has_departed(DEPARTURE_S):
                raise UnpluggedError(left="?") from cause
            why = cause.strerror or str(cause)
            raise UnreadableFileError(path=planned.file.shown_path, why=why) from cause

    def _on_bytes(self, count: int) -> None:
        if self.copying.stop.is_set():
            raise CancelledError
        self.told(count)
