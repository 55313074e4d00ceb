"""The one module that starts programs: every media tool runs between the walls, or not at all.

Memory, processor time, processes, bytes written and wall-clock time are limited; when a limit is met, or the caller
has seen enough, everything the tool started is ended. There is no fallback without the walls.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from media import seccomp
from media.error import MediaCrashedError, MediaTimeoutError, MediaTooLargeError, SandboxRefusedError
from media.walls import USUAL, Limits, Task, command

TAIL_BYTES = 4096  # what is kept of standard error for the message
READ_SIZE = 1 << 18  # bytes asked of the pipe at once; four times the default pipe
CPU_SIGNALS = {128 + signal.SIGXCPU, 128 + signal.SIGKILL}


class Running:
    """A tool at work: iterate for its output in pieces. The iteration ends well or raises a MediaError."""

    def __init__(
        self,
        task: Task,
        limits: Limits,
        process: subprocess.Popen[bytes],
        on_line: Callable[[str], bool] | None,
    ) -> None:
        self._task, self._limits, self._process = task, limits, process
        self._deadline = time.monotonic() + limits.wall_s
        self._on_line = on_line
        self._tail: deque[bytes] = deque(maxlen=64)
        self._partial = b""
        self.output_bytes = 0

    @property
    def pid(self) -> int:
        """The outermost process; when it dies everything inside dies with it."""
        return self._process.pid

    def __iter__(self) -> Iterator[bytes]:
        with selectors.DefaultSelector() as selector:
            for stream in (self._process.stdout, self._process.stderr):
                assert stream is not None  # noqa: S101  # both were asked for as pipes
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                yield from self._read_ready(selector)
        self._finish()

    def _read_ready(self, selector: selectors.BaseSelector) -> Iterator[bytes]:
        left = self._deadline - time.monotonic()
        ready = selector.select(left) if left > 0 else []
        if not ready:
            raise MediaTimeoutError(program=self._task.program, seconds=self._limits.wall_s)
        for key, _ in ready:
            piece = os.read(key.fd, READ_SIZE)
            if not piece:
                selector.unregister(key.fileobj)
            elif key.fileobj is self._process.stderr:
                self._hear(piece)
            else:
                self.output_bytes += len(piece)
                if self.output_bytes > self._limits.output_bytes:
                    raise MediaTooLargeError(
                        program=self._task.program, limit_bytes=self._limits.output_bytes
                    )
                yield piece

    def _hear(self, piece: bytes) -> None:
        *lines, self._partial = (self._partial + piece).split(b"\n")
        self._partial = self._partial[-TAIL_BYTES:]
        for line in lines:
            if self._on_line is None or not self._on_line(line.decode("utf-8", "replace")):
                self._tail.append(line[-TAIL_BYTES:])

    def _finish(self) -> None:
        try:
            status = self._process.wait(max(0.1, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired as cause:
            raise MediaTimeoutError(program=self._task.program, seconds=self._limits.wall_s) from cause
        if status == 0:
            return
        tail = b"\n".join([*self._tail, self._partial]).decode("utf-8", "replace").strip()[-TAIL_BYTES:]
        if tail.startswith("bwrap: "):
            raise SandboxRefusedError(why=tail.removeprefix("bwrap: "))
        if status in CPU_SIGNALS:
            raise MediaTimeoutError(program=self._task.program, seconds=self._limits.cpu_s)
        raise MediaCrashedError(program=self._task.program, status=status, tail=tail)

    def end(self) -> None:
        """Kill what is left, at once, and wait until it is gone; harmless when it ended by itself."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def stream(
    task: Task,
    limits: Limits = USUAL,
    on_line: Callable[[str], bool] | None = None,
) -> Iterator[Running]:
    """Start `task`; leaving the block ends it and everything it started, whatever happened.

    `on_line` hears each line of standard error; what it calls its own (progress) is left out of messages.
    Raises MediaToolMissingError before anything starts; iterating raises MediaCrashedError,
    MediaTimeoutError, MediaTooLargeError or SandboxRefusedError.
    """
    with seccomp.program() as refused:
        process = subprocess.Popen(
            command(task, limits, refused),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=() if refused is None else (refused,), env={}, cwd="/", start_new_session=True,
        )  # fmt: skip
    running = Running(task, limits, process, on_line)
    try:
        yield running
    finally:
        running.end()


def run(task: Task, limits: Limits = USUAL) -> bytes:
    """Run `task` to its end and give back all of its output. Raises as `stream` does."""
    with stream(task, limits) as running:
        return b"".join(running)
