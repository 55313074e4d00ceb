"""The process that speaks with the recorder: it parses hostile USB answers in C, so it may crash or hang, alone.

It is started by `devices.mtp.link` with two descriptors: its end of the socket and the shared memory, in which pieces
of files and counts of operations lie. libmtp writes every request that it sends to standard output, before it sends it,
and those lines are what is counted: not what somebody meant to send. The counts outlive a worker that dies.

Invariants: one command, one answer, but for a listing, which comes in several; it reads only what it is asked to read;
it ends when the dock does.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import re
import resource
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from threading import Lock, Thread
from time import monotonic, sleep

from devices.mtp.library import ROOT, Library, LibraryError, LibraryMissingError
from devices.mtp.wire import ALIVE, BATCH, PIECE, SHARED, SLOTS, Channel, Message, WireError

REQUEST = re.compile(rb"REQUEST: 0x([0-9a-f]{4})")
MOST_MEMORY = (
    768 << 20
)  # bytes of address space, libraries and shared slots included: a folder of 200,000 needs 200 MiB
LOG_PIECE = 64 << 10  # bytes read at once
LOG_PIPE = 1 << 20  # bytes that wait in it: 40 MB of a file, at 26 KB of lines for each
LOOK_S = 0.05  # how often the pipe is emptied while libmtp is at work
ALIVE_EVERY_S = 1.0
NO_NEW_PRIVILEGES, LINE_BUFFERED = 38, 1  # PR_SET_NO_NEW_PRIVS (prctl(2)), _IOLBF (setvbuf(3))


class Log:
    """What libmtp writes to standard output, a pipe: every operation in it is counted in shared memory at once.

    A thread empties the pipe while libmtp is at work; `settle` waits until everything that was sent is counted.
    """

    def __init__(self, descriptor: int, counts: memoryview, tell: Callable[[], None]) -> None:
        self._descriptor, self._counts, self._tell = descriptor, counts, tell
        self._rest, self._lock, self._told_at = b"", Lock(), monotonic()
        os.set_blocking(descriptor, False)
        Thread(target=self._watch, name="log", daemon=True).start()

    def settle(self) -> None:
        """Count all that was written until now."""
        ctypes.CDLL(None).fflush(None)
        with self._lock:
            self._drain()
            self._told_at = monotonic()

    def _watch(self) -> None:
        while True:
            select.select([self._descriptor], [], [])
            sleep(LOOK_S)  # each line by itself would cost a change of threads: half of the speed in the lab
            with self._lock:
                if self._drain() and monotonic() - self._told_at > ALIVE_EVERY_S:
                    self._told_at = monotonic()
                    self._tell()

    def _drain(self) -> bool:
        is_busy = False
        with suppress(BlockingIOError):
            while said := os.read(self._descriptor, LOG_PIECE):
                *lines, self._rest = (self._rest + said).split(b"\n")
                self._rest = self._rest[-LOG_PIECE:]
                for code in REQUEST.findall(b"\n".join(lines)):
                    self._counts[int(code, 16)] += 1
                    is_busy = True
        return is_busy


class Service:
    """Answers the dock's commands, one after the other."""

    def __init__(
        self, channel: Channel, slots: memoryview, log: Log, open_device: Callable[..., Library]
    ) -> None:
        self._channel, self._slots, self._log, self._open_device = channel, slots, log, open_device
        self._device: Library | None = None
        self._waiting: Message | None = None  # a command that came while a whole file was under way

    def run(self) -> None:
        """Until the dock closes its end."""
        while (command := self._next()) is not None:
            try:
                self._do(command)
            except LibraryError as cause:
                self._answer(why=str(cause), missing=isinstance(cause, LibraryMissingError))
        if self._device is not None:
            self._device.close()

    def _next(self) -> Message | None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            return waiting
        try:
            return self._channel.receive()
        except WireError:
            return None

    def _do(self, command: Message) -> None:
        what = command["do"]
        if what == "open":
            self._open(command)
        elif what == "list":
            self._list(command["storage"], command["folder"])
        elif command["whole"]:
            _Whole(self, command).run()
        else:
            self._answer(count=self.opened.read(command["handle"], command["offset"], self.room(command)))

    @property
    def opened(self) -> Library:
        """The device. Raises LibraryError before there is one."""
        if self._device is None:
            raise LibraryError("no session is open")
        return self._device

    def room(self, command: Message) -> memoryview:
        """The part of the shared memory that a piece goes into."""
        start = command["slot"] * PIECE
        return self._slots[start : start + command["length"]]

    def _open(self, command: Message) -> None:
        device = self._device = self._open_device(
            command["bus"], command["number"], command["vendor"], command["product"]
        )
        names = ("Manufacturername", "Modelname", "Serialnumber", "Deviceversion")
        self._answer(
            texts=[_text(device.text(name)) for name in names],
            battery=device.battery(),
            parts=device.reads_parts(),
            storages=[[s.id, _text(s.name), s.capacity, s.free] for s in device.storages()],
        )

    def _list(self, storage: int, folder: int | None) -> None:
        found = self.opened.list(storage, ROOT if folder is None else folder)
        rows = ([i.handle, _text(i.name), i.size, i.modified_s, i.is_folder] for i in found)
        while batch := list(islice(rows, BATCH)):
            self._answer(items=batch, more=True)
        self._answer(items=[], more=False)

    def _answer(self, **facts: object) -> None:
        self._log.settle()
        self._channel.send({"ok": "why" not in facts, **facts})

    def say_alive(self) -> None:
        """Nothing to give yet, but something comes."""
        self._channel.send(ALIVE)

    def filled(self, count: int) -> None:
        """A piece of a whole file is in its slot."""
        self._answer(count=count)

    def ask_again(self) -> Message | None:
        """The next command while a whole file is under way; kept when it is no part of it."""
        self._waiting = self._next()
        return self._waiting

    def is_next(self) -> None:
        """The command just seen is answered here."""
        self._waiting = None


class _Whole:
    """A file of a recorder that gives whole files only: it is let in piece by piece, as it is asked for.

    What comes before the place that is asked for first is let go. Another command ends it.
    """

    def __init__(self, service: Service, command: Message) -> None:
        self._service, self._command = service, command
        self._handle, self._skip, self._place = command["handle"], command["offset"], command["offset"]
        self._filled, self._told_at, self._is_over = 0, monotonic(), False

    def run(self) -> None:
        """Until its end, or until something else is asked for. Raises LibraryError."""
        try:
            self._service.opened.stream(self._handle, self._take)
        except LibraryError:
            if not self._is_over:
                raise
            return
        if not self._is_over:
            self._service.filled(self._filled)  # the last piece, short or empty

    def _take(self, address: int, length: int) -> bool:
        """There are `length` bytes at `address`; False ends the transfer."""
        skipped = min(self._skip, length)
        self._skip -= skipped
        if self._skip and monotonic() - self._told_at > ALIVE_EVERY_S:
            self._told_at = monotonic()
            self._service.say_alive()
        while skipped < length:
            room = self._service.room(self._command)[self._filled :]
            count = min(len(room), length - skipped)
            room[:count] = memoryview((ctypes.c_uint8 * count).from_address(address + skipped)).cast("B")
            self._filled, skipped = self._filled + count, skipped + count
            if self._filled == self._command["length"] and not self._hand_over():
                return False
        return True

    def _hand_over(self) -> bool:
        """Give the full piece, and wait for who wants the next; False when nobody does."""
        self._place, self._filled = self._place + self._filled, 0
        self._service.filled(self._command["length"])
        following = self._service.ask_again()
        wanted = {"do": "read", "handle": self._handle, "offset": self._place, "whole": True}
        if following is None or any(following.get(key) != value for key, value in wanted.items()):
            self._is_over = True
            return False
        self._service.is_next()
        self._command = following
        return True


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def confine() -> None:
    """Little memory, no core file with footage in it, no new rights, and standard output written line by line."""
    for what, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))
    libc = ctypes.CDLL(None)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, LINE_BUFFERED, 0)


def serve(open_device: Callable[..., Library], argv: list[str]) -> None:
    """Answer on the descriptors that were inherited, until the dock closes its end."""
    end, memory = map(int, argv)
    confine()
    hears, says = os.pipe()
    fcntl.fcntl(says, fcntl.F_SETPIPE_SZ, LOG_PIPE)
    os.dup2(says, sys.stdout.fileno())
    channel = Channel(socket.socket(fileno=end))
    shared = memoryview(mmap.mmap(memory, SHARED))
    log = Log(hears, shared[SLOTS * PIECE :].cast("I"), lambda: channel.send(ALIVE))
    with suppress(WireError):  # the dock is gone, and so is whoever would hear more
        Service(channel, shared, log, open_device).run()
    os._exit(0)  # a thread and a library may still hold the shared memory


if __name__ == "__main__":
    serve(Library, sys.argv[1:])
