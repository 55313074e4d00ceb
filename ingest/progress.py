"""How far a session is, as its tile says it: files, bytes, flagged files, the time left, and whether one may go home.

Invariants: "handed in" is said only while nobody is needed and the time left is known; once the log is waited for, the
word stays "verifying".
"""

from __future__ import annotations

from devices.recorder import SourceFile
from ingest.plan import Planned
from ingest.status import Tile, TileState
from ingest.time_left import TimeLeft


class Progress:
    """Counts what is done and shows it."""

    def __init__(self, tile: Tile) -> None:
        self.left_s, self.stage = TimeLeft(), TileState.COPYING
        self.is_asking = True  # whether somebody is needed before it can end well
        self._tile = tile
        self._behind = 0  # bytes of the files whose turn is over
        self._flagged_done = 0

    def begin_file(self, planned: Planned) -> None:
        """The file that has its turn."""
        self._tile.show(file=planned.file.shown_path)

    def end_file(self, file: SourceFile) -> None:
        """Its turn is over, whatever came of it."""
        self._behind += file.size
        self._tile.advance(self._behind, 0)
        self.show_left()

    def again(self, file: SourceFile) -> None:
        """It gets another turn."""
        self._behind -= file.size

    def count_done(self, file: SourceFile, done: int) -> None:
        """It is in the vault; `done` files are."""
        self._flagged_done += file.flagged
        self._tile.show(files_done=done, flagged_done=self._flagged_done)

    def compared(self, count: int) -> None:
        """Bytes of a file that has a receipt were read again."""
        self.left_s.take(count)
        self._tile.advance(self._behind, count)
        self.show_left()

    def copied(self, place: int, count: int) -> None:
        """Bytes up to a place in a file were copied."""
        self.left_s.take(count)
        self._tile.advance(self._behind + place, count)
        self.show_left()

    def show_left(self) -> None:
        """The time left, and whether the officer may go home before it is over."""
        seconds = self.left_s.seconds()
        if self.stage is not TileState.VERIFYING:
            self.stage = TileState.COPYING if self.is_asking or seconds is None else TileState.HANDED_IN
        self._tile.show(seconds_left=seconds, state=self.stage)

    def verify(self) -> None:
        """Everything had its turn; the log is waited for."""
        self.stage = TileState.VERIFYING
        self._tile.show(state=self.stage, file=None, seconds_left=None, bytes_per_second=0)
