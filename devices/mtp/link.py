"""A worker process and the way to it: started, asked, and killed when it is silent.

Invariants: no call waits for longer than SILENCE_S without a word from the worker; the worker is ended on every way
out; what it has sent to the recorder is known also after it died.
"""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from devices.mtp.wire import PIECE, SHARED, SLOTS, Channel, Message, WireError

SILENCE_S = (
    30.0  # libmtp gives up a USB transfer after 20 s by itself, and then tries to open the session once more
)
MOST_WHY = 200  # characters of a reason
LOOK_S = 0.1  # how soon a departure is noticed while an answer is awaited
WORKER = (
    sys.executable,
    "-E",
    "-s",
    "-S",
    "-m",
    "devices.mtp.worker",
)  # it needs nothing but the standard library
CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "TZ": "UTC",  # the times of MTP have no zone, as those of FAT; both are read as UTC
    "LC_ALL": "C.UTF-8",
    "LIBUSB_DEBUG": "1",  # errors only: libmtp's record of requests would turn on libusb's as well
}


class LinkError(Exception):
    """The worker is gone, silent or speaks nonsense; a new one may do better."""


class DeviceRefusedError(Exception):
    """The worker is well, and the recorder said no; or `is_missing`: there is no libmtp to ask it with."""

    def __init__(self, why: str, *, is_missing: bool) -> None:
        super().__init__(why)
        self.is_missing = is_missing


class Link:
    """One running worker."""

    def __init__(self, argv: tuple[str, ...] = WORKER, silence_s: float = SILENCE_S) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("mtp")
        try:
            os.ftruncate(memory, SHARED)
            self._memory = mmap.mmap(memory, SHARED)
            self._process = subprocess.Popen(
                [*argv, str(theirs.fileno()), str(memory)], pass_fds=(theirs.fileno(), memory), env=ENVIRONMENT,
                cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(memory)
        self._channel, self._silence_s = Channel(ours), silence_s

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def slot(self, index: int, length: int) -> memoryview:
        """The piece that the worker has put there."""
        return memoryview(self._memory)[index * PIECE : index * PIECE + length]

    def sent(self) -> dict[int, int]:
        """Every operation that the worker has sent to the recorder until now, counted by its code."""
        with memoryview(self._memory) as memory, memory[SLOTS * PIECE :] as part, part.cast("I") as counts:
            return {code: count for code, count in enumerate(counts) if count}

    def send(self, command: Message) -> None:
        """Give a command. Raises LinkError."""
        try:
            self._channel.send(command)
        except WireError as cause:
            raise LinkError(str(cause)) from cause

    def answer(self, check: Callable[[], None]) -> Message:
        """The next answer; `check` is called while waiting and may raise. Raises LinkError, DeviceRefusedError."""
        end = monotonic() + self._silence_s
        while monotonic() < end:
            check()
            try:
                message = self._channel.receive(LOOK_S)
            except WireError as cause:
                raise LinkError(str(cause)) from cause
            if message is None:
                continue
            if message.get("alive") is True:
                end = monotonic() + self._silence_s
            elif message.get("ok") is not True:
                why = str(message.get("why", ""))[:MOST_WHY]
                raise DeviceRefusedError(why, is_missing=message.get("missing") is True)
            else:
                return message
        raise LinkError(f"nothing was heard for {self._silence_s:.0f} s")

    def answers(self, check: Callable[[], None]) -> Iterator[Message]:
        """The answers to one command until the last. Raises as `answer`."""
        while True:
            message = self.answer(check)
            yield message
            if message.get("more") is not True:
                return

    def end(self, patience_s: float = 0.0) -> None:
        """Close, and kill the worker when it does not end in time; safe to call again."""
        self._channel.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
