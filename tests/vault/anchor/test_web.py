from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest

from vault.anchor.web import OutsideError, Place, ask


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[Place]:
    """Somebody who answers a little at a time, for ever."""
    done = Event()

    def drip() -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            peer.recv(4096)
            peer.sendall(first)
            while not done.wait(0.02):
                peer.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=drip)
        thread.start()
        yield Place("dripper", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 O", b"K"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_whoever_answers_a_little_at_a_time_is_given_up(first: bytes, drop: bytes) -> None:
    with dripping(first, drop) as place:
        begun = time.monotonic()
        with pytest.raises(OutsideError):
            ask(place, 1_000_000, timeout_s=0.2)
        assert time.monotonic() - begun < 2
