"""Answering lines on a UNIX socket, for a process that must stay up: one line in, one line out, a thread a caller.

Invariants: whoever finds the socket's name is answered, because the name appears only once the socket listens; a
caller who sends nothing, or too much, or for whom there is no thread or descriptor, costs nobody else his answer; the
loop looks at `stop` at least twice a second.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore, Event, Thread

from core import log
from core.canonical import Json

Answer = Callable[[bytes, str], Json]
"""(line, caller) -> answer; meets its errors itself."""

CONNECTIONS = 32  # callers at once; each is a thread and two descriptors, far below every default limit
POLL_S = 0.5
MODE = 0o660  # the socket's group is who may call
_LOG = log.get("vault.line_server")


class LineServer:
    """Serves `answer` at `path` while `run` runs."""

    def __init__(self, path: Path, answer: Answer, *, line_limit: int, idle_s: float) -> None:
        self._path, self._answer = path, answer
        self._line_limit, self._idle_s = line_limit, idle_s
        self._room = BoundedSemaphore(CONNECTIONS)

    def run(self, stop: Event) -> None:
        """Answer until `stop` is set. Raises OSError when the socket cannot be made."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            self._listen(listener)
            while not stop.is_set():
                if self._room.acquire(timeout=POLL_S):
                    self._admit(listener, stop)
        self._path.unlink(missing_ok=True)

    def _listen(self, listener: socket.socket) -> None:
        """Bind under another name, not longer than the right one, and rename once callers would be heard."""
        forming = self._path.with_suffix(".new")
        forming.unlink(missing_ok=True)
        listener.bind(str(forming))
        forming.chmod(MODE)
        listener.listen(CONNECTIONS)
        listener.settimeout(POLL_S)
        forming.replace(self._path)

    def _admit(self, listener: socket.socket, stop: Event) -> None:
        """Accept one caller into the place that was taken for him; without a caller the place is given back."""
        connection = None
        try:
            connection, _ = listener.accept()
            Thread(target=self._serve, args=(connection, stop), daemon=True).start()
        except TimeoutError:
            self._room.release()
        except (
            OSError,
            RuntimeError,
        ) as cause:  # no descriptor or no thread now; there may be one in a moment
            _LOG.error("a caller could not be served", why=str(cause))
            if connection is not None:
                connection.close()
            self._room.release()
            stop.wait(POLL_S)

    def _serve(self, connection: socket.socket, stop: Event) -> None:
        try:
            with connection, connection.makefile("rb") as lines:
                connection.settimeout(self._idle_s)
                caller = _caller(connection)
                while not stop.is_set() and (line := lines.readline(self._line_limit)):
                    connection.sendall(json.dumps(self._answer(line, caller)).encode() + b"\n")
        except OSError as cause:
            _LOG.info("a caller went away", why=str(cause))
        finally:
            self._room.release()


def _caller(connection: socket.socket) -> str:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process, user, _ = struct.unpack("3i", raw)
    return f"pid {process} uid {user}"
