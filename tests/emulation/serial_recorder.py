"""A recorder that unlocks over a serial line, as a state machine behind a real tty or a UNIX socket.

    with SerialRecorder(Nature(password=b"2468")) as recorder:
        unlock(recorder.node, ...)

On a pty the dock's own pyserial speaks through the kernel's tty. As a program it serves a UNIX socket, so that QEMU's
`-chardev socket` and `usb-serial` carry it into a virtual machine:

    python tests/emulation/serial_recorder.py --socket /run/lab/serial.sock --mode wrong-password

Everything it does is in `Nature`; it is an oracle that keeps what it was told, and it can lie.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import selectors
import socket
import sys
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

END = b"\r\n"
MOST_BYTES = 4096  # of what a station may send without a line's end


@dataclass
class Nature:
    """How this recorder is, and how it is wrong."""

    serial: bytes = b"X1A0001"
    model: bytes = b"DSJ-7"
    firmware: bytes = b"1.4.2"
    password: bytes = b"000000"
    lock_after: int = 3
    battery: bytes = b"87"
    free_mib: bytes = b"51200"
    capacity_mib: bytes = b"61440"
    owner: tuple[bytes, ...] = (
        b"X1A0001",
        b"060123",
        "\u5f20\u4f1f".encode("gbk"),
        b"110105000000",
        "\u671d\u9633\u5206\u5c40".encode("gbk"),
    )
    clock_starts_at: datetime | None = None  # None: the host's own time
    zone_hours: float = 8.0
    delay_s: float = 0.0  # before each reply
    byte_delay_s: float = 0.0  # between the bytes of a reply
    noise: bytes = b""  # before each reply
    loses_first: int = 0  # so many requests are not answered at all
    dies_after: int | None = (
        None  # so many requests are answered, then the line goes away in the middle of a reply
    )
    echoes: bool = False
    switches_silently: bool = False  # the line goes away instead of an answer to the switch
    answers: dict[bytes, bytes] = field(
        default_factory=dict
    )  # a request's first bytes: raw bytes instead of a reply


class Brain:
    """The recorder without a line: one request in, one reply out. Keeps everything that it was told."""

    def __init__(self, nature: Nature) -> None:
        self.nature = nature
        self.heard: list[bytes] = []
        self.wrong = 0
        self.is_open = False
        self.is_storage = False
        self.owner = nature.owner
        self.clock_was_set_to: datetime | None = None
        self._ahead = timedelta(0)
        if nature.clock_starts_at is not None:
            self._ahead = nature.clock_starts_at - self._host()

    @property
    def is_locked(self) -> bool:
        """Whether too many wrong passwords were given."""
        return self.wrong >= self.nature.lock_after

    def shown(self) -> datetime:
        """What its screen shows: local time, no zone."""
        return self._host() + self._ahead

    def reply(self, line: bytes) -> bytes:
        """The reply to one request; nothing for what has no right checksum."""
        self.heard.append(line)
        for beginning, raw in self.nature.answers.items():
            if line.startswith(beginning):
                return raw
        body, star, checksum = line.rpartition(b"*")
        if not star or checksum != b"%02X" % _xor(body[1:]):
            return b""
        return framed(self._answer(body))

    def _answer(self, body: bytes) -> bytes:
        if body == b"$SDRID?":
            return b"$SDRID," + b",".join((self.nature.serial, self.nature.model, self.nature.firmware))
        if body.startswith(b"$SDRPW,"):
            return self._try_password(body[7:])
        if not self.is_open:
            return b"$SDRNO"
        if body.startswith(b"$SDRTM,"):
            return self._set_clock(body[7:])
        if body.startswith(b"$SDROW,"):
            self.owner = tuple(body[7:].split(b","))
            return b"$SDROK,OW"
        return self._tell(body)

    def _tell(self, body: bytes) -> bytes:
        nature = self.nature
        match body:
            case b"$SDRTM?":
                return b"$SDRTM," + self.shown().strftime("%Y%m%d%H%M%S").encode()
            case b"$SDRBT?":
                return b"$SDRBT," + b",".join((nature.battery, nature.free_mib, nature.capacity_mib))
            case b"$SDROW?":
                return b"$SDROW," + b",".join(self.owner)
            case b"$SDRMS!":
                self.is_storage = True
                return b"$SDROK,MS"
            case _:
                return b"$SDRNO"

    def _try_password(self, password: bytes) -> bytes:
        if self.is_locked:
            return b"$SDRLK,PW"
        if password != self.nature.password:
            self.wrong += 1
            return b"$SDRLK,PW" if self.is_locked else b"$SDRNO,PW"
        self.wrong, self.is_open = 0, True
        return b"$SDROK,PW"

    def _set_clock(self, digits: bytes) -> bytes:
        told = datetime.strptime(digits.decode(), "%Y%m%d%H%M%S")  # noqa: DTZ007
        self.clock_was_set_to = told
        self._ahead = told - self._host()
        return b"$SDROK,TM"

    def _host(self) -> datetime:
        return (datetime.now(UTC) + timedelta(hours=self.nature.zone_hours)).replace(tzinfo=None)


def _xor(body: bytes) -> int:
    number = 0
    for byte in body:
        number ^= byte
    return number


def framed(body: bytes) -> bytes:
    """A message with its checksum and its end."""
    return b"%s*%02X%s" % (body, _xor(body[1:]), END)


class Talk:
    """Reads requests from a descriptor and answers them, until it is told to leave."""

    def __init__(
        self, brain: Brain, descriptor: int, leaving: threading.Event, switched: Callable[[], None] = bool
    ) -> None:
        self.brain, self._descriptor, self._leaving, self._switched = brain, descriptor, leaving, switched
        self._answered = 0

    def run(self) -> None:
        """Serve until the other side goes, `leaving` is set, or its nature makes it die."""
        arrived = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            while not self._leaving.is_set():
                if not selector.select(0.02):
                    continue
                chunk = _read(self._descriptor)
                if chunk is None:
                    return
                arrived = (arrived + chunk)[-MOST_BYTES:]
                while END in arrived:
                    line, _, arrived = arrived.partition(END)
                    if not self._respond(line):
                        return

    def _respond(self, line: bytes) -> bool:
        nature = self.brain.nature
        reply = self.brain.reply(line)
        if nature.loses_first >= len(self.brain.heard):
            return True
        if self.brain.is_storage and nature.switches_silently:
            return False
        if nature.dies_after is not None and self._answered >= nature.dies_after:
            self._write(reply[: len(reply) // 2])
            time.sleep(0.05)
            return False
        self._answered += 1
        self._leaving.wait(nature.delay_s)
        self._write((line + END if nature.echoes else b"") + nature.noise + reply)
        if line.startswith(b"$SDRMS!") and self.brain.is_storage:
            self._switched()
        return True

    def _write(self, message: bytes) -> None:
        pause_s = self.brain.nature.byte_delay_s
        pieces = [message[i : i + 1] for i in range(len(message))] if pause_s else [message]
        for piece in pieces:
            _write_all(self._descriptor, piece, self._leaving)
            if pause_s:
                self._leaving.wait(pause_s)


def _read(descriptor: int) -> bytes | None:
    """What came; None when nobody is there any more."""
    try:
        return os.read(descriptor, 1024) or None
    except OSError:
        return None


def _write_all(descriptor: int, message: bytes, leaving: threading.Event) -> None:
    while message and not leaving.is_set():
        try:
            message = message[os.write(descriptor, message) :]
        except BlockingIOError:
            leaving.wait(0.01)
        except OSError:
            return


class SerialRecorder:
    """The recorder on a pseudo-terminal: `node` is a real tty. Leaving it, or `pull_out`, makes the tty go away."""

    def __init__(self, nature: Nature | None = None) -> None:
        self.brain = Brain(nature or Nature())
        self._leaving = threading.Event()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.node = Path(os.ttyname(self._slave))
        self._thread = threading.Thread(target=self._serve, name="serial-recorder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull_out()

    def pull_out(self) -> None:
        """Out of the bay: the kernel hangs the tty up."""
        self._leaving.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self) -> None:
        try:
            Talk(self.brain, self._master, self._leaving).run()
        finally:
            os.close(self._slave)
            os.close(self._master)


MODES = {
    "normal": Nature(),
    "wrong-password": Nature(password=b"not-the-station's"),
    "slow": Nature(delay_s=0.3, byte_delay_s=0.005),
    "noise": Nature(noise=b"\xff\x00$SD\xf0\r\n$SDRID,\x07"),
    "dies": Nature(dies_after=2),
    "clock-1970": Nature(clock_starts_at=datetime(1970, 1, 1, 8, 0, 12)),  # noqa: DTZ001
    "clock-2040": Nature(clock_starts_at=datetime(2040, 2, 29, 23, 59, 58)),  # noqa: DTZ001
    "locks": Nature(password=b"not-the-station's", lock_after=3),
    "silent": Nature(loses_first=1_000_000),
    "reboots": Nature(switches_silently=True),
}


def _say_storage() -> None:
    """The lab plugs the disk in when it reads this; the line may well stay open."""
    sys.stdout.write("storage\n")
    sys.stdout.flush()


def serve_socket(path: Path, nature: Nature, *, once: bool = False) -> None:
    """Serve a UNIX socket, one station after the other; the recorder keeps its state from one to the next."""
    brain = Brain(nature)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        while True:
            peer, _ = listener.accept()
            with peer:
                peer.setblocking(False)
                Talk(brain, peer.fileno(), threading.Event(), _say_storage).run()
            if brain.is_storage and nature.switches_silently:
                _say_storage()
            if once:
                return


def main() -> None:
    """`--socket PATH [--mode MODE] [--serial S] [--password P]`; prints `storage` once it was told to switch."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--mode", choices=sorted(MODES), default="normal")
    parser.add_argument("--serial")
    parser.add_argument("--password")
    parser.add_argument("--once", action="store_true", help="end when the first station leaves")
    given = parser.parse_args()
    nature = MODES[given.mode]
    if given.serial:
        nature = replace(nature, serial=given.serial.encode())
    if given.password:
        nature = replace(nature, password=given.password.encode())
    serve_socket(given.socket, nature, once=given.once)


def noisy(seed: int, most: int = 64) -> bytes:
    """Bytes that a bad contact makes, the same for one seed."""
    return random.Random(seed).randbytes(most)  # noqa: S311


if __name__ == "__main__":
    main()
