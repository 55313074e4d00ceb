"""anchord: gathers evidence from outside whenever the log has grown, and looks after the line being down.

A round every `interval_s` seconds when the log grew (vault.anchor.gather); sources that failed are asked again after a
pause that doubles from a minute up to the interval. What is still missing is told by the files alone, so a restart
forgets nothing. Invariant: whatever happens outside or on the disk, nothing waits for this process and it goes on; a
log that contradicts itself or a witness is told at the level "critical" and its evidence is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from threading import Event

from sqlalchemy.exc import SQLAlchemyError

from core import log
from vault.anchor.entry import AnchorEntries
from vault.anchor.gather import Gathered, Gatherer
from vault.anchor.store import HistoryError
from vault.error import VaultError

_LOG = log.get("vault.anchord")
FIRST_PAUSE_S = 60.0
UNENTERED = 200  # newest anchors looked through at a start; a crash leaves one or two whose entry is missing
LOOK_S = 5.0  # how often the clock is looked at; a round itself is rare


class Anchord:
    """The process; `service` is the witness's server, when this station is one."""

    def __init__(
        self,
        gatherer: Gatherer,
        entries: AnchorEntries,
        interval_s: float,
        service: AbstractContextManager[object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gatherer, self._entries, self._interval_s = gatherer, entries, interval_s
        self._service = service or nullcontext()
        self._clock = clock
        self._round_at = self._retry_at = clock()
        self._pause_s = FIRST_PAUSE_S
        self._failed: frozenset[str] = frozenset()
        self._is_caught_up = False

    def run(self, stop: Event) -> None:
        """Work until `stop` is set."""
        with self._service:
            while not stop.is_set():
                self.step()
                stop.wait(LOOK_S)

    def step(self) -> Gathered | None:
        """Do what is due; None when nothing was."""
        try:
            self._catch_up()
            return self._round()
        except HistoryError as cause:
            _LOG.critical("the log contradicts its own anchors", code=cause.code, why=str(cause))
        except (VaultError, OSError, SQLAlchemyError) as cause:
            _LOG.error("a round of anchoring failed and will be tried again", why=str(cause))
        self._put_off()
        return None

    def _catch_up(self) -> None:
        """Once: enter what a crash kept from the log, and learn whom the newest anchor still waits for."""
        if self._is_caught_up:
            return
        anchors = list(islice(self._gatherer.store.newest_first(), UNENTERED))
        self._entries.enter_all(reversed(anchors))
        self._failed = self._gatherer.missing(anchors[0]) if anchors else frozenset()
        self._is_caught_up = True

    def _round(self) -> Gathered | None:
        now = self._clock()
        if now >= self._round_at and self._gatherer.asks and self._gatherer.has_grown():
            return self._take(self._gatherer.gather())
        if self._failed and now >= self._retry_at:
            return self._take(self._gatherer.gather(self._failed))
        return None

    def _take(self, gathered: Gathered) -> Gathered:
        now = self._clock()
        self._round_at = now + self._interval_s
        self._entries.enter(gathered.anchor)
        self._failed = gathered.failed
        if self._failed:
            self._put_off()
        else:
            self._pause_s = FIRST_PAUSE_S
        for one in gathered.outcomes:
            if one.conflict:
                _LOG.critical("the log was rolled back or forked", witness=one.name, kind=one.conflict.kind,
                              evidence=str(one.conflict.place))  # fmt: skip
            elif one.at is None:
                _LOG.warning("no evidence from outside yet", kind=one.kind, name=one.name, why=one.why)
            else:
                _LOG.info("anchored", kind=one.kind, name=one.name, entries=gathered.anchor.size)
        return gathered

    def _put_off(self) -> None:
        self._retry_at = self._clock() + self._pause_s
        self._round_at = max(self._round_at, self._retry_at)
        self._pause_s = min(2 * self._pause_s, max(self._interval_s, FIRST_PAUSE_S))
