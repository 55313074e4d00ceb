"""What the dock shows: one tile a bay, kept in memory, written for the console at most four times a second.

`dock.json` is replaced whole and without fsync: after a power cut there is nothing to show. The file carries
no footage and no secret; the name on a tile is the officer's, as a board in the room shows it anyway.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core.clock import parse_stamp, stamp, utc_now
from core.errors import SealdockError

WRITE_EVERY_S = 0.25  # at most four times a second
HEARTBEAT_S = (
    0.4  # written this often even when nothing moves, so that a dead dock can be told from a quiet one
)
STALE_S = (
    2.5  # five missed heartbeats; with half a second to notice it, no tile is green 3 s after the dock died
)
WINDOW_S = 10.0  # the rate is that of the last ten seconds: steady enough to read, quick enough to be true
FIRST_RATE_S = 1.0  # no rate before there is a second to measure


class TileState(StrEnum):
    """The states of a tile; the console has the words for each in both languages.

    HANDED_IN is COPYING for an officer who wants to go home: everything on the medium is listed, its holder is known,
    it fits into the vault, nothing has failed, and only copying remains, whose end can be told.
    """

    EMPTY = "empty"
    RECOGNISING = "recognising"
    HANDED_IN = "handed_in"
    COPYING = "copying"
    VERIFYING = "verifying"
    SEALED = "sealed"
    CLEARING = "clearing"
    PARTIAL = "partial"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"
    FAULT = "fault"


class Need(StrEnum):
    """What a person must do at a bay, as a code; the console has the sentence for each in both languages."""

    BADGE = "badge"  # an unregistered device: show a badge or type a PIN and the words "duty footage"
    CLAIM = "claim"  # footage whose holder nobody knows: name yourself
    PUT_BACK = "put_back"  # pulled too early: the same recorder into any bay
    REPLUG = "replug"  # it stopped answering: take it out and plug it in again
    WAIT = "wait"  # nothing to do, and nothing to take: the dock goes on by itself
    CUSTODIAN = "custodian"
    ADMINISTRATOR = "administrator"


class Message(BaseModel):
    """An error as code and parameters; the console turns it into a sentence in the reader's language."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    parameters: dict[str, str | int | float | None] = {}

    @classmethod
    def of(cls, error: SealdockError) -> Message:
        """The message of an error; parameters that are no plain values are given as text."""
        plain: dict[str, str | int | float | None] = {
            k: v if isinstance(v, str | int | float) else str(v) for k, v in error.parameters.items()
        }
        return cls(code=error.code, parameters=plain)


class BayStatus(BaseModel):
    """One tile. Bay number 0 stands for whatever was plugged in outside the mapped bays."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int
    state: TileState = TileState.EMPTY
    officer_name: str | None = None
    officer_number: str | None = None
    recorder_serial: str | None = None
    profile: str | None = None
    transport: str | None = None
    file: str | None = None
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_second: int = 0
    seconds_left: int | None = None
    message: Message | None = None
    session_id: str | None = None
    battery_percent: int | None = None  # 0 to 100, as the recorder itself says it
    firmware: str | None = None
    clock_offset_s: float | None = None  # the recorder's clock minus the station's, before it was set
    clock_uncertainty_s: float | None = None
    free_bytes: int | None = None
    capacity_bytes: int | None = None
    flagged_done: int = 0
    flagged_total: int = 0  # files that the officer marked as important; they are copied first
    question: str | None = None  # while the bay asks for a badge: what the answer is bound to (ingest.answer)
    needs: str | None = None  # a Need, or a code that a newer dock knows and an older console shows as it is


class DockStatus(BaseModel):
    """The whole board at one moment; `at` is a stamp in UTC, and empty before the dock has ever run."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    at: str = ""
    station: str = ""
    bays: tuple[BayStatus, ...] = ()

    @property
    def age_s(self) -> float:
        """Seconds since the dock last spoke; endless when it never did, negative after a clock was set back."""
        try:
            return (utc_now() - parse_stamp(self.at)).total_seconds() if self.at else math.inf
        except ValueError:
            return math.inf

    @property
    def is_stale(self) -> bool:
        """Whether the dock has stopped speaking, or its clock and ours disagree: the tiles must not be relied on."""
        return abs(self.age_s) > STALE_S


@dataclass
class Meter:
    """Bytes a second over the last seconds."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, total: int, now: float | None = None) -> None:
        """Note that `total` bytes have been read by now."""
        moment = monotonic() if now is None else now
        self._samples.append((moment, total))
        while moment - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()

    def rate(self) -> float:
        """Bytes a second; 0 while there is too little to tell."""
        if not self._samples:
            return 0.0
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        passed = last_at - first_at
        return max(0.0, (last - first) / passed) if passed >= FIRST_RATE_S else 0.0


class Tile:
    """One bay's status, changed by the bay's thread and read by the board."""

    def __init__(self, number: int, changed: Callable[[], None] = lambda: None) -> None:
        self._status, self._changed = BayStatus(number=number), changed
        self._lock, self._meter, self._read = Lock(), Meter(), 0

    def clear(self, state: TileState = TileState.EMPTY, **facts: Any) -> None:
        """Begin anew: everything of the recorder before is forgotten."""
        with self._lock:
            self._meter, self._read = Meter(), 0
            self._status = BayStatus(number=self._status.number, state=state, **facts)
        self._changed()

    def show(self, **facts: Any) -> None:
        """Change some facts."""
        with self._lock:
            self._status = self._status.model_copy(update=facts)
        self._changed()

    def advance(self, bytes_done: int, read: int) -> None:
        """`bytes_done` of the session are behind us; `read` more were really read (known files are not)."""
        with self._lock:
            self._read += read
            self._meter.take(self._read)
            rate = self._meter.rate()
            left = max(0, self._status.bytes_total - bytes_done)
            self._status = self._status.model_copy(
                update={
                    "bytes_done": bytes_done,
                    "bytes_per_second": int(rate),
                    "seconds_left": round(left / rate) if rate else None,
                }
            )
        self._changed()

    @property
    def status(self) -> BayStatus:
        """As it is now."""
        with self._lock:
            return self._status


class Board:
    """All tiles, and the file that the console reads."""

    def __init__(self, path: Path, station: str, numbers: list[int]) -> None:
        self._path, self._station = path, station
        self._dirty, self._written_at, self._pen = True, 0.0, Lock()
        self.tiles = {number: Tile(number, self._touch) for number in [*sorted(numbers), 0]}

    def flush(self, *, now: bool = False) -> None:
        """Write the file when something changed and the last time is long enough ago, or as a sign of life."""
        with self._pen:
            since = monotonic() - self._written_at
            if not now and since < (WRITE_EVERY_S if self._dirty else HEARTBEAT_S):
                return
            self._dirty, self._written_at = False, monotonic()
            write_status(self._path, self.status())

    def status(self) -> DockStatus:
        """The board as it is now; tile 0 only when something is outside the bays."""
        tiles = [tile.status for tile in self.tiles.values()]
        shown = tuple(t for t in tiles if t.number or t.state is not TileState.EMPTY)
        return DockStatus(at=stamp(utc_now()), station=self._station, bays=shown)

    def resume(self, session_id: str, number: int) -> None:
        """A recorder that was pulled too early goes on in another bay: the one it left has nothing more to say."""
        for tile in self.tiles.values():
            status = tile.status
            if status.number != number and status.session_id == session_id:
                tile.clear()

    def _touch(self) -> None:
        self._dirty = True


def write_status(path: Path, status: DockStatus) -> None:
    """Replace the status file; a reader sees the old or the new, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(status.model_dump_json(exclude_none=True), encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(path)


def read_status(path: Path) -> DockStatus:
    """The last status written; an empty one when the dock has not run yet or the file is no status."""
    try:
        return DockStatus.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return DockStatus()
