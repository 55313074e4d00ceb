"""What the bays' lamps say: the board's own words as signals, played while the dock works.

Invariants: a lamp knows only what the board's file says, as the screens do, so no lamp says "safe" when the board is
stale; exactly one state is safe, and only when nobody is asked for anything; whatever ends the playing makes the lamps
dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from core import log
from core.settings import LightSettings
from devices.light import BEAT_S, Lamps, Signal, is_lit
from ingest.status import BayStatus, DockStatus, Need, TileState, read_status

DARK_S = 5.0  # how long the lamps are waited for at the end; a driver call takes milliseconds
_log = log.get(__name__)

_SAYS = {
    TileState.EMPTY: Signal.DARK,
    TileState.RECOGNISING: Signal.WORKING,
    TileState.HANDED_IN: Signal.WORKING,
    TileState.COPYING: Signal.WORKING,
    TileState.VERIFYING: Signal.WORKING,
    TileState.SEALED: Signal.SAFE,
    TileState.CLEARING: Signal.WORKING,
    TileState.PARTIAL: Signal.PERSON,
    TileState.INTERRUPTED: Signal.PERSON,
    TileState.UNKNOWN: Signal.PERSON,
    TileState.FAULT: Signal.FAULT,
}


def signal_of(tile: BayStatus) -> Signal:
    """What the lamp of this bay says. A sealed recorder that a person is asked about is not shown as safe."""
    says = _SAYS[tile.state]
    if says is Signal.SAFE and tile.needs not in {None, Need.WAIT}:
        return Signal.PERSON
    return says


def signals_of(board: DockStatus) -> Mapping[int, Signal]:
    """Of every bay; of none when the dock has stopped speaking."""
    return {} if board.is_stale else {tile.number: signal_of(tile) for tile in board.bays if tile.number}


class Lights:
    """The lamps of a dock, moved once a beat."""

    def __init__(self, status_path: Path, lamps: Lamps) -> None:
        self._path, self._lamps = status_path, lamps
        self._version: tuple[int, int] | None = None  # inode and time of the file that was read last
        self._board = DockStatus()

    def run(self, stop: Event) -> None:
        """Play until `stop`; dark afterwards, also when a driver breaks."""
        try:
            beat = 0
            while not stop.wait(BEAT_S):
                self.play(beat)
                beat += 1
        except Exception as cause:  # noqa: BLE001  # a lamp may break in any way; the dock must not
            _log.exception("the bay lights have stopped; the board goes on", why=str(cause))
        finally:
            self._lamps.close()

    def play(self, beat: int) -> None:
        """One beat."""
        says = signals_of(self._read())
        self._lamps.show({bay: is_lit(signal, beat) for bay, signal in says.items()})

    def _read(self) -> DockStatus:
        """The board's file, parsed again only when it was replaced; its age is judged anew each time."""
        try:
            stat = self._path.stat()
        except OSError:  # no dock has spoken, or nobody can hear it
            return DockStatus()
        version = stat.st_ino, stat.st_mtime_ns
        if version != self._version:
            self._version, self._board = version, read_status(self._path)
        return self._board


def lamps_of(settings: LightSettings) -> Lamps | None:
    """The lamps that the settings name; none where the board is the light."""
    if settings.driver == "screen":
        return None
    from devices.light_gpio import GpioLamps  # noqa: PLC0415  # only a dock that has lamps loads libgpiod

    return GpioLamps(settings.chip, settings.lines, active_low=settings.active_low)


@contextmanager
def shining(status_path: Path, lamps: Lamps | None) -> Iterator[None]:
    """The lamps play while the block runs and are dark after it; without lamps the board alone shows the bays."""
    if lamps is None:
        yield
        return
    stop = Event()
    thread = Thread(target=Lights(status_path, lamps).run, args=(stop,), name="lights", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DARK_S)
