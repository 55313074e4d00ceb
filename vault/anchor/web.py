"""Asking somebody outside over HTTP: bounded in time and bytes, following nobody elsewhere.

Invariant: whatever the other side does, `ask` ends within its time with an answer of at most its limit, or with an
OutsideError. A status is an answer and no error; a redirect is a status like any other.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib import request as urllib
from urllib.parse import urlsplit

from vault.error import VaultError

TIMEOUT_S = 20.0  # of one wait on the network; the whole answer gets three of them
_PIECE = 16 * 1024


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
    try:
        if urlsplit(place.url).scheme not in {"http", "https"}:
            raise OutsideError(name=place.name, why="its address is neither http nor https")
        headers = {"Content-Type": content_type} if body is not None else {}
        question = urllib.Request(place.url, data=body, headers=headers)  # noqa: S310  the scheme was checked
        with _opener(place).open(question, timeout=timeout_s) as response:
            got = _read(response, limit, deadline, place.name)
            return Answer(response.status, response.headers.get_content_type(), got)
    except (OSError, HTTPException, ValueError) as cause:  # URLError and SSLError are OSErrors
        raise OutsideError(name=place.name, why=str(getattr(cause, "reason", None) or cause)) from cause


def _opener(place: Place) -> urllib.OpenerDirector:
    opener = urllib.OpenerDirector()
    context = ssl.create_default_context(cafile=str(place.roots) if place.roots else None)
    for one in (
        urllib.ProxyHandler(),
        urllib.HTTPHandler(),
        urllib.HTTPSHandler(context=context),
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
            raise OutsideError(name=name, why="its answer takes too long")
    return bytes(got)
