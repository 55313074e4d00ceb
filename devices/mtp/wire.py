"""What the dock and the worker say to each other: one JSON object a packet, pieces of files through shared memory.

Invariants: a packet is whole or not there (SOCK_SEQPACKET) and at most MOST_PACKET long; names travel as Latin-1 text,
which is their bytes one for one; a packet that is anything else raises WireError and is never believed in part. The
worker is believed no more than the device that it parses.
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any

PIECE = 1 << 20  # bytes of one slot; 4 MiB were no faster over an emulated bus (docs/adr/0032)
SLOTS = 2  # one is read from while the other is filled
OPERATIONS = 0x10000  # codes of PTP are 16 bits; how often each was sent stands after the slots, 4 bytes each
SHARED = SLOTS * PIECE + OPERATIONS * 4
MOST_PACKET = 64 << 10
BATCH = 64  # objects of a listing in one packet: 64 names of 255 characters fit, whatever JSON makes of them

Message = dict[str, Any]
ALIVE: Message = {"ok": True, "alive": True}  # an answer is under way: the recorder is answering


class WireError(Exception):
    """The other side spoke nonsense, or is gone."""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Message) -> None:
        """Raises WireError when the other side is gone."""
        packet = json.dumps(message).encode("ascii")
        if len(packet) > MOST_PACKET:
            raise WireError("a packet is too long")
        try:
            self._end.send(packet)
        except OSError as cause:
            raise WireError("the other side is gone") from cause

    def receive(self, within_s: float | None = None) -> Message | None:
        """The next packet; None when none came in time. Raises WireError when the other side is gone or odd."""
        try:
            if within_s is not None and not select.select([self._end], [], [], within_s)[0]:
                return None
            packet = self._end.recv(MOST_PACKET + 1)
        except (OSError, ValueError) as cause:
            raise WireError("the other side is gone") from cause
        if not packet or len(packet) > MOST_PACKET:
            raise WireError("the other side is gone" if not packet else "a packet is too long")
        return _read(packet)

    def close(self) -> None:
        """Safe to call again."""
        self._end.close()


def _read(packet: bytes) -> Message:
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as cause:
        raise WireError("a packet is no JSON") from cause
    if not isinstance(message, dict):
        raise WireError("a packet is no message")
    return message


def number(message: Message, name: str, most: int) -> int:
    """A whole number from 0 to `most`. Raises WireError."""
    value = message.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise WireError(f"'{name}' is no number from 0 to {most}")
    return value


def octets(value: object) -> bytes:
    """A text of the device, as its bytes. Raises WireError."""
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError as cause:
        raise WireError("a text is not bytes") from cause
