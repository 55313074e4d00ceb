"""Asking somebody outside over HTTP: bounded in time and bytes, following nobody elsewhere.

Invariant: whatever the other side does, `ask` ends within its time with an answer of at most its limit, or with an
OutsideError. A status is an answer and no error; a redirect is a status like any other.
"""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import Any
from urllib import request as urllib
from urllib.parse import urlsplit

from vault.error import VaultError

TIMEOUT_S = 20.0  # of one wait on the network; the whole answer gets three of them
_PIECE = 16 * 1024
_LATE = "its answer takes too long"


class OutsideError(VaultError):
    """An authority or a witness that cannot be reached, or that answers with something else."""

    code = "vault.outside"
    sentence = (
        "{name} gave no usable answer ({why}). Nothing was lost: the log goes on, and it is asked again by itself. "
        "`sealdock anchor request` carries the question by hand."
    )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Place:
    """Where somebody answers: a name for people, the URL, and whose certificates its TLS must lead to."""

    name: str
    url: str
    roots: Path | None = None

    def below(self, path: str) -> Place:
        """The same host at `path` below our URL."""
        return Place(self.name, f"{self.url.rstrip('/')}/{path}", self.roots)


class _AnyStatus(urllib.HTTPErrorProcessor):
    """Every status is an answer: no exception for 409, no following of 302."""

    def http_response(self, request: urllib.Request, response: HTTPResponse) -> HTTPResponse:  # noqa: ARG002
        """The response, as it came."""
        return response

    https_response = http_response


def ask(
    place: Place, limit: int, body: bytes | None = None, content_type: str = "text/plain",
    timeout_s: float = TIMEOUT_S,
) -> Answer:  # fmt: skip
    """POST `body`, or GET without one. Raises OutsideError."""
    deadline = time.monotonic() + 3 * timeout_s
    lines = list[socket]()
    end = Timer(3 * timeout_s, _cut, [lines])  # a single byte now and then would never time out by itself
    end.daemon = True
    end.start()
    try:
        if urlsplit(place.url).scheme not in {"http", "https"}:
            raise OutsideError(name=place.name, why="its address is neither http nor https")
        headers = {"Content-Type": content_type} if body is not None else {}
        question = urllib.Request(place.url, data=body, headers=headers)  # noqa: S310  the scheme was checked
        with _opener(place, lines).open(question, timeout=timeout_s) as response:
            got = _read(response, limit, deadline, place.name)
            return Answer(response.status, response.headers.get_content_type(), got)
    except (OSError, HTTPException, ValueError) as cause:  # URLError and SSLError are OSErrors
        why = str(getattr(cause, "reason", None) or cause)
        raise OutsideError(name=place.name, why=_LATE if time.monotonic() > deadline else why) from cause
    finally:
        end.cancel()


class _Http(urllib.HTTPHandler):
    """Connections that can be cut from outside, whatever they wait for."""

    def __init__(self, lines: list[socket]) -> None:
        super().__init__()
        self._lines = lines

    def http_open(self, req: urllib.Request) -> HTTPResponse:
        """As the base's."""
        return self.do_open(partial(_connected, HTTPConnection, self._lines), req)


class _Https(urllib.HTTPSHandler):
    """The same over TLS."""

    def __init__(self, lines: list[socket], context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._lines, self._tls = lines, context

    def https_open(self, req: urllib.Request) -> HTTPResponse:
        """As the base's."""
        made = partial(_connected, HTTPSConnection, self._lines)
        return self.do_open(made, req, context=self._tls)


def _connected(kind: type[HTTPConnection], lines: list[socket], host: str, **options: Any) -> HTTPConnection:
    """A connection of this kind that puts its socket among `lines`."""
    connection = kind(host, **options)
    connect = connection.connect

    def connected() -> None:
        connect()
        lines.append(connection.sock)

    connection.connect = connected  # type: ignore[method-assign]
    return connection


def _cut(lines: list[socket]) -> None:
    for line in lines:
        with suppress(OSError):  # it has ended by itself
            line.shutdown(SHUT_RDWR)


def _opener(place: Place, lines: list[socket]) -> urllib.OpenerDirector:
    opener = urllib.OpenerDirector()
    context = ssl.create_default_context(cafile=str(place.roots) if place.roots else None)
    for one in (
        urllib.ProxyHandler(),
        _Http(lines),
        _Https(lines, context),
        _AnyStatus(),
    ):
        opener.add_handler(one)
    return opener


def _read(response: HTTPResponse, limit: int, deadline: float, name: str) -> bytes:
    got = bytearray()
    while piece := response.read1(_PIECE):
        got += piece
        if len(got) > limit:
            raise OutsideError(name=name, why=f"its answer is longer than {limit} bytes")
        if time.monotonic() > deadline:
            raise OutsideError(name=name, why=_LATE)
    if time.monotonic() > deadline:
        raise OutsideError(name=name, why=_LATE)
    return bytes(got)
