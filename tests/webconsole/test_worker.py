from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from webconsole import worker
from webconsole.worker import Readings


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_what_comes_too_slowly_meets_its_end(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HEAD_WITHIN_S", -1.0)
    readings = Readings(2)
    number = readings.begin(pair[0], "10.0.0.1")
    assert number is not None
    readings.cut_late()
    assert pair[0].recv(1) == b""
    readings.end(number)


def test_a_form_has_longer_and_a_film_all_the_time(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HEAD_WITHIN_S", -1.0)
    readings = Readings(2)
    form, film = readings.begin(pair[0], "10.0.0.1"), readings.begin(pair[0], "10.0.0.1")
    assert form is not None
    assert film is not None
    readings.prolong(form)
    readings.end(film)
    readings.cut_late()
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"
    readings.end(form)


def test_one_address_keeps_its_share_waiting_and_no_more(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    readings = Readings(3)
    held = [readings.begin(pair[0], "10.0.0.1") for _ in range(4)]
    assert [number is not None for number in held] == [True, True, True, False]
    other = readings.begin(pair[0], "10.0.0.2")
    assert other is not None
    for number in (*held[:3], other):
        assert number is not None
        readings.end(number)
        readings.end(number)
    again = readings.begin(pair[0], "10.0.0.1")
    assert again is not None
    readings.end(again)
