"""Reading a file of which some ranges cannot be read: the rest of it is kept, and every range that is not is named.

Invariants: a byte that could not be read is a zero in the sealed object AND stands in a named range, so that whoever
holds the object and its entry can tell invented bytes from the recorder's; a range is never shorter than what failed; a
file of which nothing could be read is not made up of zeros; a recorder that left, and a file that changed while it was
read, are no damage and go up as the errors they are. At most as many good bytes as bad ones are given up beyond the
first page, because one failing read may take half a minute and the step over a bad zone doubles.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic

from devices.recorder import RefusedFile, SourceStream
from devices.tree import Refusal
from ingest.error import IngestError, RefusedFileError

PAGE = 4096  # the kernel reads whole pages, so that a single bad sector of 512 bytes takes its page with it
PATIENCE_S = (
    600.0  # of failing reads in one file (a hung medium answers after some 36 s); the rest is then given up
)
DEPARTURE_S = (
    2.0  # a pulled recorder's read error comes up to 0.2 s before the event (seen in the lab); ten times that
)
AGAIN_S = 0.4  # after the first failure of a file; the end of the file waits for the rest
RANGES_LIMIT = 1000  # an entry has room for twice as many; behind the last one the rest is given up
BAD = frozenset({errno.EIO, errno.ENODATA, errno.EREMOTEIO, errno.EILSEQ, errno.EBADMSG})
SICK = frozenset({Refusal.UNREADABLE, Refusal.UNREADABLE_DIRECTORY, Refusal.SAME_NAME})
Ranges = tuple[tuple[int, int], ...]  # [start, end) in bytes, in order, apart


class DamagedFileError(IngestError):
    """A file was sealed with holes."""

    code = "ingest.damaged"
    sentence = (
        "{path} is damaged: {missing} of its {size} bytes could not be read from the recorder. What could be read is "
        "sealed as damaged, with the failed ranges; it is not the whole original. Keep the recorder and have the card "
        "examined."
    )


class FilesDamagedError(IngestError):
    """A session that ended with nothing left out, and not everything whole."""

    code = "ingest.files_damaged"
    sentence = (
        "{damaged} of {total} files on the recorder could only be read in part. They are sealed as damaged, the rest "
        "is whole. Keep the recorder and ask a custodian before it is used again."
    )


class UnreadableEntryError(RefusedFileError):
    """A folder or a name that the card itself cannot give: what lies below it is not known."""

    code = "ingest.unreadable_entry"
    sentence = (
        "{path} cannot be read ({why}): the card is damaged there, and there may be footage in it that is not in "
        "the vault. Everything else was taken; do not format the card, keep it and have it examined."
    )


def refusal(refused: RefusedFile) -> RefusedFileError:
    """What is said of something that was not taken: a sick card, or an entry that no recorder makes."""
    kind = UnreadableEntryError if refused.reason in SICK else RefusedFileError
    return kind(path=refused.shown_path, why=refused.reason.replace("_", " "))


def missing_bytes(ranges: Ranges) -> int:
    """How many bytes the ranges cover."""
    return sum(end - start for start, end in ranges)


class TolerantStream:
    """A recorder's stream that goes on behind a bad range.

    `has_left` waits so many seconds for the event that would explain an error: the recorder was pulled.
    """

    def __init__(self, inner: SourceStream, has_left: Callable[[float], bool]) -> None:
        self._inner, self._has_left = inner, has_left
        self.size, self._place = inner.size, 0
        self._ranges: list[list[int]] = []
        self._blank_until = 0  # behind a failed read: zeros up to here
        self._careful_until = 0  # behind a bad range: page by page up to here
        self._step, self._good, self._spent_s = PAGE, 0, 0.0
        self._cause: OSError | None = None
        self._failed_at = 0.0

    @property
    def ranges(self) -> Ranges:
        """What could not be read so far."""
        return tuple((start, end) for start, end in self._ranges)

    def readinto(self, buffer: memoryview, /) -> int:
        """Read on. Raises OSError when the recorder left, the file changed, or not one byte of it can be read."""
        if self._place < self._blank_until:
            return self._blank(buffer)
        room = buffer[: self._page_end() - self._place] if self._place < self._careful_until else buffer
        began_at = monotonic()
        try:
            count = self._inner.readinto(room)
        except OSError as cause:
            self._spent_s += monotonic() - began_at
            self._check(cause)
            return self._stumble(room, buffer, cause)
        if count == 0:
            self._check_end()
        self._place, self._good, self._step = self._place + count, self._good + count, PAGE
        return count

    def _check(self, cause: OSError) -> None:
        is_damage = cause.errno in BAD and cause.strerror != str(Refusal.CHANGED)
        patience_s = DEPARTURE_S if self._cause is None else AGAIN_S
        if not is_damage or self._has_left(patience_s):
            raise cause
        self._failed_at = monotonic()

    def _check_end(self) -> None:
        """At the end: something of it was read, and the last failure was not the recorder being pulled."""
        if self._cause is not None:
            waited_s = monotonic() - self._failed_at
            if self._good == 0 or (waited_s < DEPARTURE_S and self._has_left(DEPARTURE_S - waited_s)):
                raise self._cause

    def _stumble(self, room: memoryview, buffer: memoryview, cause: OSError) -> int:
        """A read failed: look closer first; a page that fails by itself is a range, and the step over it grows."""
        self._inner.seek(self._place)
        if len(room) > self._page_end() - self._place:
            self._careful_until = self._place + len(room)
            return self.readinto(buffer)
        self._cause = cause
        self._blank_until = self._give_up()
        self._careful_until = max(self._careful_until, self._blank_until + PAGE)
        return self._blank(buffer)

    def _give_up(self) -> int:
        """Note the range that begins here; where it ends."""
        end = min(self.size, (self._place // PAGE * PAGE) + self._step)
        self._step *= 2
        if self._spent_s > PATIENCE_S or len(self._ranges) >= RANGES_LIMIT:
            end = self.size
        if self._ranges and self._ranges[-1][1] == self._place:
            self._ranges[-1][1] = end
        else:
            self._ranges.append([self._place, end])
        return end

    def _blank(self, buffer: memoryview) -> int:
        count = min(len(buffer), self._blank_until - self._place)
        buffer[:count] = bytes(count)
        self._place += count
        if self._place == self._blank_until:
            self._inner.seek(self._place)
        return count

    def _page_end(self) -> int:
        return (self._place // PAGE + 1) * PAGE
