"""The server's worker: a request that arrives by drops holds nobody else up.

Invariant: a thread waits a bounded time for a request, head and form, and one address can keep at most half of
the threads waiting. The library's worker bounds the wait for the first byte only (OWASP: slow HTTP attacks). A
film that is being sent is not bounded: its head is whole, and a paused player may take its time.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from core import log

HEAD_WITHIN_S = 10.0  # TLS handshake and head; seconds on the worst of lines
FORM_WITHIN_S = 30.0  # a form of at most a megabyte, and its short answer
FEWEST_AT_ONCE = 2  # from one address, however few threads there are
_log = log.get(__name__)


@dataclass
class _Reading:
    """A second handle on the connection, so that the first may be wrapped in TLS meanwhile."""

    twin: socket.socket
    address: str
    until: float


class Readings:
    """The connections whose request is not whole yet; any thread."""

    def __init__(self, most_from_one: int) -> None:
        self._most = max(most_from_one, FEWEST_AT_ONCE)
        self._lock = threading.Lock()
        self._open: dict[int, _Reading] = {}
        self._from: Counter[str] = Counter()

    def begin(self, sock: socket.socket, address: str) -> int | None:
        """Start the clock; None when this address keeps too many threads waiting already."""
        with self._lock:
            if self._from[address] >= self._most:
                return None
            twin = socket.socket(fileno=os.dup(sock.fileno()))
            self._from[address] += 1
            self._open[twin.fileno()] = _Reading(twin, address, monotonic() + HEAD_WITHIN_S)
            return twin.fileno()

    def prolong(self, number: int) -> None:
        """The head is whole and a form follows."""
        with self._lock:
            self._open[number].until = monotonic() + FORM_WITHIN_S

    def end(self, number: int) -> None:
        """The request is whole, or over; a second call does nothing."""
        with self._lock:
            reading = self._open.pop(number, None)
            if reading is None:
                return
            self._from[reading.address] -= 1
            if not self._from[reading.address]:
                del self._from[reading.address]
            reading.twin.close()

    def cut_late(self) -> None:
        """Break off what took too long: its thread meets the end of the connection and is free."""
        with self._lock:
            late = [reading for reading in self._open.values() if reading.until < monotonic()]
            for reading in late:
                reading.until = float("inf")
                with suppress(OSError):  # the other side was faster
                    reading.twin.shutdown(socket.SHUT_RDWR)
        for reading in late:
            _log.warning("a request came too slowly and was broken off", address=reading.address)


class ConsoleWorker(ThreadWorker):  # type: ignore[misc]  # the library has no types
    """The threaded worker with a clock on every request."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._readings = Readings(self.cfg.threads // 2)
        self._mine = threading.local()

    def handle(self, conn: Any) -> Any:
        """One request of the connection, in a thread of the pool."""
        address = str(conn.client[0]) if conn.client else ""
        number = self._readings.begin(conn.sock, address)
        if number is None:
            _log.warning("a connection was closed: its address holds too many", address=address)
            raise ConnectionAbortedError  # closed at once: a graceful close would hold up the loop that accepts
        self._mine.number = number
        try:
            return super().handle(conn)
        finally:
            self._readings.end(number)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose head is whole."""
        if req.method in {"GET", "HEAD"}:  # no view reads a body of these
            self._readings.end(self._mine.number)
        else:
            self._readings.prolong(self._mine.number)
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """Called once a second at least by the loop that accepts."""
        super().murder_pending()
        self._readings.cut_late()
