"""One JSON object a line over a unix socket: how QEMU (QMP) and the guest's agent (qemu-ga) are both spoken to."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from pathlib import Path
from threading import Lock
from typing import Any

from vm.place import LabError

ANSWERS_WITHIN_S = 30.0
_SENTINEL = b"\xff"  # the agent's answer to a delimited sync starts with it; it occurs in no JSON


class SilentError(LabError):
    """The other side did not answer in time."""


class RefusedError(LabError):
    """The other side understood the command and refused it."""


class Channel:
    """A connection that answers one command at a time; threads take turns."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWERS_WITHIN_S)
        try:
            folder = os.open(path.parent, os.O_PATH)  # by way of it: a socket's address has 107 bytes at most
            try:
                self._socket.connect(f"/proc/self/fd/{folder}/{path.name}")
            finally:
                os.close(folder)
        except OSError:
            self._socket.close()
            raise
        self._buffer = b""
        self._turn = Lock()
        self._numbers = itertools.count(time.monotonic_ns() % 1_000_000)

    @classmethod
    def to_qemu(cls, path: Path) -> Channel:
        """QMP, past its greeting."""
        channel = cls(path)
        channel._line()
        channel("qmp_capabilities")
        return channel

    def __call__(self, command: str, **arguments: Any) -> Any:
        """The answer to a command. Raises RefusedError, or LabError when the other side has gone."""
        request = {"execute": command, "arguments": {k.replace("_", "-"): v for k, v in arguments.items()}}
        with self._turn:
            self._send(json.dumps(request).encode() + b"\n")
            while True:
                answer = json.loads(self._line())
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise RefusedError(f"{command}: {answer['error']['desc']}")

    def synchronise(self, within_s: float) -> bool:
        """Whether the guest's agent answered, past whatever an earlier machine left in the line."""
        number = next(self._numbers)
        hello = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        with self._turn:
            self._socket.settimeout(within_s)
            try:
                self._send(_SENTINEL + json.dumps(hello).encode() + b"\n")
                while True:
                    line = self._line().rpartition(_SENTINEL)[2]
                    if line.strip() and json.loads(line).get("return") == number:
                        return True
            except SilentError:
                return False
            finally:
                self._socket.settimeout(ANSWERS_WITHIN_S)

    def close(self) -> None:
        self._socket.close()

    def _send(self, raw: bytes) -> None:
        try:
            self._socket.sendall(raw)
        except (ConnectionError, TimeoutError) as cause:
            raise LabError(f"the machine is gone: {cause}") from cause

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            try:
                piece = self._socket.recv(1 << 16)
            except ConnectionError as cause:
                raise LabError(f"the machine is gone: {cause}") from cause
            except TimeoutError as cause:
                raise SilentError(f"no answer for {self._socket.gettimeout():.0f} s") from cause
            if not piece:
                raise LabError("the machine is gone: it closed the connection")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
