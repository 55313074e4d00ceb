"""Sources: where plaintext comes from, and what can happen to a recorder while it is read."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Protocol

from vault.error import VaultError
from vault.store.medium import CancelledError

Progress = Callable[[int], None]  # plaintext bytes done so far; called on the reading thread, every few MiB


class SourceStream(Protocol):
    """Where plaintext comes from; an unbuffered open file will do."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the start of `buffer`; 0 at the end. Raises OSError when the recorder is gone or cannot be read."""


class SourceLostError(VaultError):
    """The recorder stopped giving bytes."""

    code = "vault.source_lost"
    sentence = (
        "The recorder stopped after {done} bytes ({why}). Nothing on it was changed. Plug it in again to go on from "
        "there; if it stops at the same place every time, the card is damaged there."
    )


class SourceChangedError(VaultError):
    """What was copied before the interruption is not what the recorder holds now."""

    code = "vault.source_changed"
    sentence = (
        "The first {done} bytes on the recorder are not the bytes that were copied before the interruption. The copy "
        "was given up and starts again from the beginning; keep the recorder and have the card examined."
    )


def fill(source: SourceStream, room: memoryview, done: int) -> int:
    """Read until `room` is full or the source ends. Raises SourceLostError."""
    count = 0
    try:
        while count < len(room) and (got := source.readinto(room[count:])):
            count += got
    except OSError as cause:
        raise SourceLostError(done=done, why=cause.strerror or str(cause)) from cause
    return count


def stop_if_asked(cancel: Event | None) -> None:
    """Raises CancelledError once `cancel` is set."""
    if cancel is not None and cancel.is_set():
        raise CancelledError
