"""The pipeline: three stages side by side, so that no processor waits for another or for the disk.

The caller's thread reads and hashes the plaintext, one thread seals and hashes what will be stored, one writes. Buffers
go round: a stage that is slow holds up the one before it and nothing grows. What was handed to the second stage is
sealed and written even when reading fails, so that the state after a lost recorder is exactly "so many buffers done".
A disk that failed meanwhile comes first: such a copy has a hole and must never be gone on with.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Thread
from typing import Protocol

from vault.store.medium import Lane, PartFile
from vault.store.source import (
    Progress,
    SourceChangedError,
    SourceLostError,
    SourceStream,
    fill,
    stop_if_asked,
)


class Stages(Protocol):
    """What the pipeline runs: the state of one object on its way."""

    done: int

    def hash_plain(self, plain: memoryview) -> None:
        """Stage one."""

    def seal(self, plain: memoryview, room: memoryview, *, final: bool) -> int:
        """Stage two; gives how much of `room` may be written."""

    def write(self, part: PartFile, pages: memoryview) -> None:
        """Stage three."""


class Pipeline:
    """The three stages of one `take`; the caller's thread reads, two threads seal and write."""

    def __init__(self, sealing: Stages, part: PartFile, lane: Lane) -> None:
        self._sealing = sealing
        self._part = part
        self._lane = lane
        self._failure: BaseException | None = None
        self._plain_free: SimpleQueue[memoryview] = SimpleQueue()
        self._sealed_free: SimpleQueue[memoryview] = SimpleQueue()
        self._to_seal: SimpleQueue[tuple[memoryview, int, bool] | None] = SimpleQueue()
        self._to_write: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()

    def run(self, source: SourceStream, progress: Progress | None, cancel: Event | None) -> None:
        """Read to the end; everything that was read is sealed and written when this returns or raises.

        Raises SourceLostError, SourceChangedError (the recorder held more before it was lost) or what a stage met.
        """
        first = self._lane.plain[0]
        count = fill(source, first, self._sealing.done)
        if not count and self._sealing.done:  # a lost recorder always held one buffer more than was done
            raise SourceChangedError(done=self._sealing.done)
        if (
            count < len(first) and not self._sealing.done
        ):  # one buffer holds it all: no threads for a photograph
            self._sealing.hash_plain(first[:count])
            pages = self._sealing.seal(first[:count], self._lane.sealed[0], final=True)
            self._sealing.write(self._part, self._lane.sealed[0][:pages])
        else:
            self._run_stages(source, first, count, progress, cancel)
        if progress:
            progress(self._sealing.done)

    def _run_stages(
        self,
        source: SourceStream,
        first: memoryview,
        count: int,
        progress: Progress | None,
        cancel: Event | None,
    ) -> None:
        for room in self._lane.plain[1:]:
            self._plain_free.put(room)
        for room in self._lane.sealed:
            self._sealed_free.put(room)
        stages = [Thread(target=self._seal_all, daemon=True), Thread(target=self._write_all, daemon=True)]
        for stage in stages:
            stage.start()
        lost: SourceLostError | None = None
        try:
            self._read_all(source, first, count, progress, cancel)
        except SourceLostError as cause:
            lost = cause
        finally:
            self._to_seal.put(None)
            for stage in stages:
                stage.join()
        if self._failure is not None:
            raise self._failure from lost
        if lost is not None:
            raise lost

    def _read_all(
        self,
        source: SourceStream,
        held: memoryview,
        count: int,
        progress: Progress | None,
        cancel: Event | None,
    ) -> None:
        """One buffer is always held back: only the next read tells whether it is the last."""
        while True:
            following = self._plain_free.get()
            stop_if_asked(cancel)
            following_count = fill(source, following, self._sealing.done) if count == len(held) else 0
            final = following_count == 0
            if count or not self._sealing.done:
                self._sealing.hash_plain(held[:count])
                self._to_seal.put((held, count, final))
            if final or self._failure is not None:
                return
            if progress:
                progress(self._sealing.done)
            held, count = following, following_count

    def _seal_all(self) -> None:
        while (item := self._to_seal.get()) is not None:
            plain, count, final = item
            room = self._sealed_free.get()
            pages = 0
            if self._failure is None:
                try:
                    pages = self._sealing.seal(plain[:count], room, final=final)
                except BaseException as cause:  # noqa: BLE001  # raised again on the caller's thread
                    self._failure = cause
            self._plain_free.put(plain)
            self._to_write.put((room, pages))
        self._to_write.put(None)

    def _write_all(self) -> None:
        while (item := self._to_write.get()) is not None:
            room, pages = item
            if self._failure is None:
                try:
                    self._sealing.write(self._part, room[:pages])
                except BaseException as cause:  # noqa: BLE001  # raised again on the caller's thread
                    self._failure = cause
            self._sealed_free.put(room)
