from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vault import line_server
from vault.line_server import LineServer

Say = Callable[..., dict[str, Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "echo.sock"


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def served(path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    """A server that says what it was told."""
    monkeypatch.setattr(line_server, "POLL_S", 0.01)
    server = LineServer(path, lambda line, caller: {"line": line.decode(), "caller": caller},
                        line_limit=1000, idle_s=5.0)  # fmt: skip
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    while not path.exists():
        stop.wait(0.001)
    yield thread
    stop.set()
    thread.join()


def say(path: Path, line: bytes = b"hello\n") -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5.0)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as lines:
            first = lines.readline()
    return json.loads(first) if first else None


def test_a_line_is_answered_and_the_caller_known(path: Path, served: threading.Thread) -> None:
    answer = say(path)
    assert answer["line"] == "hello\n"
    assert answer["caller"].startswith("pid ")


def test_the_name_appears_when_the_socket_listens(
    path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who comes between the two steps must find nothing rather than be turned away."""
    seen, listen = list[bool](), socket.socket.listen

    def watched(listener: socket.socket, backlog: int) -> None:
        seen.append(path.exists())
        listen(listener, backlog)

    monkeypatch.setattr(socket.socket, "listen", watched)
    stop.set()
    LineServer(path, lambda *_: {}, line_limit=1, idle_s=1.0).run(stop)
    assert seen == [False]


def test_what_a_dead_process_left_is_replaced(path: Path, stop: threading.Event) -> None:
    path.write_bytes(b"")
    path.with_suffix(".new").write_bytes(b"")
    stop.set()
    LineServer(path, lambda *_: {}, line_limit=1, idle_s=1.0).run(stop)
    assert not path.exists()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(errno.EAGAIN, "again")])
def test_no_thread_for_a_caller_costs_only_that_caller(
    path: Path, served: threading.Thread, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Failing(threading.Thread):  # the server's own: the test runner has threads to start too
        def start(self) -> None:
            monkeypatch.undo()
            raise error

    monkeypatch.setattr(line_server, "Thread", Failing)
    assert turned_away(path)
    assert say(path)["line"] == "hello\n"
    assert served.is_alive()


def turned_away(path: Path) -> bool:
    try:
        return say(path) is None
    except ConnectionError:  # closed before the line was read
        return True


def test_no_descriptor_for_a_caller_makes_him_wait(
    path: Path, served: threading.Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, accept = list[int](), socket.socket.accept

    def failing(listener: socket.socket) -> Any:
        calls.append(1)
        if len(calls) < 4:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    for _ in range(2):  # the first may be taken by the call that waits already
        assert say(path)["line"] == "hello\n"
    assert len(calls) >= 4


def test_a_full_room_still_stops(path: Path, served: threading.Thread, stop: threading.Event) -> None:
    callers = []
    for _ in range(line_server.CONNECTIONS + 1):  # one more than have room, and none says a word
        callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        callers[-1].connect(str(path))
    stop.set()
    served.join(5.0)
    for caller in callers:
        caller.close()
    assert not served.is_alive()


def test_places_are_given_back(path: Path, served: threading.Thread) -> None:
    for _ in range(2 * line_server.CONNECTIONS):
        assert say(path)["line"] == "hello\n"
