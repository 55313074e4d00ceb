"""What a recorder is to the rest of the house: files to read, and nothing else.

Invariants every transport keeps: nothing is ever written to the recorder; a file is opened only when it is
a regular file; a name is the recorder's own bytes, and what people see is an escaped spelling of them; a read
from a recorder that has left raises OSError and never ends early as if the file were complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from devices.condition import Condition
from devices.unwritten import Untouched


class Medium(StrEnum):
    """The kind of a file by its name; what it really holds is found out later, in the sandbox."""

    VIDEO = "video"
    AUDIO = "audio"
    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True)
class SourceFile:
    """One regular file on a recorder, with what its name says.

    `path` is raw bytes relative to the medium's root, `/` between parts. `shown_path` and `name` are for
    people. `modified_at` is None when no calendar has it. `started_at` is the
    local time written in the name, without a zone: the recorder's own clock, right or wrong.
    """

    path: bytes
    shown_path: str
    name: str
    size: int
    modified_at: datetime | None
    media: Medium = Medium.OTHER
    serial: str | None = None
    officer_number: str | None = None
    started_at: datetime | None = None
    part: int | None = None
    flagged: bool = False  # marked as important on the recorder, by its profile's rules
    sequence: int | None = None  # the running number in the name

    @property
    def name_is_exact(self) -> bool:
        """Whether the shown path is the recorder's bytes in UTF-8, so that nothing else need be kept."""
        return self.shown_path.encode("utf-8", "surrogatepass") == self.path


@dataclass(frozen=True)
class RefusedFile:
    """Something on the medium that is not taken, and the code of the reason (docs/operations/dock.md)."""

    path: bytes
    shown_path: str
    reason: str


@dataclass(frozen=True)
class Identity:
    """Who this recorder says it is. All of it is a claim: USB descriptors and labels can be copied."""

    serial: str = ""
    vendor_id: str = ""
    product_id: str = ""
    label: str = ""


class SourceStream(Protocol):
    """The bytes of one file, in order; never closes early without an error."""

    size: int

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from the present place; 0 only at the end. Raises OSError."""
        ...

    def seek(self, offset: int) -> None:
        """Go to a byte offset from the start."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Recorder(Protocol):
    """An opened recorder."""

    identity: Identity
    profile_id: str
    transport: str
    condition: Condition

    @property
    def ignored(self) -> int:
        """How many files the profile leaves out; the session's entry says it."""
        ...

    def files(self) -> Iterator[SourceFile | RefusedFile]:
        """Everything on the medium that is not ignored by the profile, in a stable order."""
        ...

    def open(self, file: SourceFile) -> SourceStream:
        """Open one file. Raises OSError for an unreadable one, DepartedError when the recorder is gone."""
        ...

    def present(self) -> bool:
        """Whether the recorder is still there."""
        ...

    def has_departed(self, patience_s: float) -> bool:
        """Whether it is gone; waits so long for the event, which comes after the read error it explains."""
        ...

    def untouched(self) -> Untouched | None:
        """What shows, now, that nothing was written to it; None when nothing was measured. Before `close` only."""
        ...

    def close(self) -> None:
        """Unmount and let go; safe to call again."""
        ...
