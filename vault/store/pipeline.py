"""The pipeline: the caller's thread reads, hashes, seals and hashes again; a thread of its own writes.

A piece is small enough to stay in the processor's cache for all four steps: handed from one processor to another, the
same steps cost a fifth more for each byte (docs/benchmarks.md), and a dock has recorders enough to keep every processor
busy. Only the disk's waiting happens beside it. What was sealed is written even when reading fails, so that the state
after a lost recorder is exactly "so many pieces done". A disk that failed meanwhile comes first: such a copy has a hole
and must never be gone on with.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Thread
from typing import Protocol

from vault.store.medium import SEALED_PIECE, Lane, PartFile
from vault.store.source import (
    Progress,
    SourceChangedError,
    SourceLostError,
    SourceStream,
    fill,
    stop_if_asked,
)


class Steps(Protocol):
    """What the pipeline runs: the state of one object on its way."""

    done: int

    def begin_room(self, room: memoryview) -> int:
        """Put what was carried over into the start of `room`; where the next piece goes."""

    def seal(self, plain: memoryview, room: memoryview, place: int, *, final: bool) -> int:
        """Hash a piece, seal it into `room` at `place`, hash that; the place behind it."""

    def finish_room(self, room: memoryview, end: int) -> int:
        """How much of `room` may be written, in whole pages; the rest is carried over."""

    def write(self, part: PartFile, pages: memoryview) -> None:
        """Write behind what was written before."""


class Pipeline:
    """One `take`: pieces into rooms on the caller's thread, rooms onto the disk on another."""

    def __init__(self, sealing: Steps, part: PartFile, lane: Lane) -> None:
        self._sealing = sealing
        self._part = part
        self._held, self._following = lane.plain
        self._failure: BaseException | None = None
        self._writer: Thread | None = None
        self._full: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for room in lane.sealed:
            self._free.put(room)

    def run(self, source: SourceStream, progress: Progress | None, cancel: Event | None) -> None:
        """Read to the end; everything that was sealed is written when this returns or raises.

        Raises SourceLostError, SourceChangedError (the recorder held more before it was lost) or what a step met.
        """
        lost: SourceLostError | None = None
        try:
            self._fill_rooms(source, progress, cancel)
        except SourceLostError as cause:
            lost = cause
        finally:
            if self._writer is not None:
                self._full.put(None)
                self._writer.join()
        if self._failure is not None:
            raise self._failure from lost
        if lost is not None:
            raise lost

    def _fill_rooms(self, source: SourceStream, progress: Progress | None, cancel: Event | None) -> None:
        count = fill(source, self._held, self._sealing.done)
        if not count and self._sealing.done:  # a lost recorder always held one piece more than was done
            raise SourceChangedError(done=self._sealing.done)
        final = False
        while not final and self._failure is None:
            room = self._free.get()
            end = self._sealing.begin_room(room)
            try:
                while not final and len(room) - end >= SEALED_PIECE:
                    stop_if_asked(cancel)
                    behind = self._read_on(source, count)
                    final = behind == 0
                    end = self._sealing.seal(self._held[:count], room, end, final=final)
                    self._held, self._following, count = self._following, self._held, behind
            finally:
                self._hand_over(room, self._sealing.finish_room(room, end), last=final)
            if progress:
                progress(self._sealing.done)

    def _read_on(self, source: SourceStream, count: int) -> int:
        """The piece after the one held back: only it tells whether that one is the last."""
        return fill(source, self._following, self._sealing.done) if count == len(self._held) else 0

    def _hand_over(self, room: memoryview, pages: int, *, last: bool) -> None:
        if last and self._writer is None:  # one room holds it all: no thread for a photograph
            self._sealing.write(self._part, room[:pages])
            return
        if self._writer is None:
            self._writer = Thread(target=self._write_all, daemon=True)
            self._writer.start()
        self._full.put((room, pages))

    def _write_all(self) -> None:
        while (item := self._full.get()) is not None:
            room, pages = item
            if self._failure is None:
                try:
                    self._sealing.write(self._part, room[:pages])
                except BaseException as cause:  # noqa: BLE001  # raised again on the caller's thread
                    self._failure = cause
            self._free.put(room)
