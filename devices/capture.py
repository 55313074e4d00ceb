"""A capture: what a device looks like without what is on it, small enough to keep beside the tests.

Invariants: never content, only names, sizes, times and which kind of file the first bytes announce; no person's
number, each being replaced by a stand-in of the same shape (`devices/stand_in.py`); whether the device was physical
is what the kernel says (`devices/origin.py`). A capture replays: a profile can be tried on it without the device.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from core.errors import Exit
from devices.error import DeviceError
from devices.mass_storage import Listing
from devices.match import Layout, Speaks
from devices.origin import Origin
from devices.recorder import Identity
from devices.stand_in import StandIns
from devices.table import ProfileId, Table
from devices.tree import Entry, Kind, Tree

MAX_ENTRIES = 20_000  # names: more of the same shapes teach a profile nothing
MAX_FILE = 16 * 1024 * 1024  # bytes of a capture that is read; MAX_ENTRIES names of ordinary length need 3
LOOKED_AT = 8  # files of one extension whose first bytes are looked at
HEAD = 16  # bytes

# first bytes (offset, constant) and what they announce
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "iso-media"), (4, b"moov", "iso-media"), (4, b"mdat", "iso-media"), (0, b"RIFF", "riff"),
    (0, b"\xff\xd8\xff", "jpeg"), (0, b"\x89PNG", "png"), (0, b"ID3", "mpeg-audio"), (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"), (0, b"#!AMR", "amr"), (0, b"\x1aE\xdf\xa3", "matroska"), (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"), (0, b"FUJIFILM", "raf"), (0, b"IIRO", "orf"), (0, b"\x30\x26\xb2\x75", "asf"),
    (0, b"\xff\xfb", "mpeg-audio"), (0, b"\xff\xf1", "aac"), (0, b"<?xml", "xml"),
    (0, b"$GP", "nmea"), (0, b"$GN", "nmea"), (0, b"\x02dss", "dss"), (0, b"\x03ds2", "dss"),
)  # fmt: skip


class CaptureError(DeviceError):
    """A capture file cannot be used."""

    code = "devices.capture"
    sentence = (
        "The capture {path} cannot be used: {why}. No recorder was opened; make it again with "
        "`sealdock profile new`."
    )
    exit_code = Exit.WRONG_USE


class CapturedEntry(Table):
    """One name. A folder's path ends in `/`; `magic` is the announced kind, empty where nobody looked."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]
    size: Annotated[int, Field(ge=0)] = 0
    modified_at: datetime | None = None
    magic: Annotated[str, Field(max_length=20)] = ""
    refused: Annotated[str, Field(max_length=40)] = ""


class Expected(Table):
    """What a replay must find: the profile, and how many files it takes for what."""

    profile: ProfileId
    footage: int
    other: int
    ignored: int = 0
    flagged: int = 0


class Capture(Table):
    """A device's looks. `serial` and numbers in names are stand-ins; `left_out` names were too many."""

    capture: Literal[1] = 1
    source: Literal["physical", "emulated"]
    made_at: datetime
    speaks: Speaks = Speaks.STORAGE
    vendor_id: str = ""
    product_id: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    label: str = ""
    fs_type: str = ""
    left_out: int = 0
    entries: Annotated[tuple[CapturedEntry, ...], Field(max_length=MAX_ENTRIES)]
    expect: Expected | None = None

    @property
    def layout(self) -> Layout:
        """What matching needs."""
        identity = Identity(self.serial, self.vendor_id, self.product_id, self.label)
        paths = [entry.path for entry in self.entries if not entry.refused]
        return Layout(identity, paths, self.speaks, self.manufacturer, self.model)

    @property
    def files(self) -> list[CapturedEntry]:
        """The regular files."""
        return [entry for entry in self.entries if not entry.refused and not entry.path.endswith("/")]

    def text(self) -> str:
        """The file's text."""
        facts = {"capture": self.capture, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def capture(listing: Listing, origin: Origin, made_at: datetime, key: bytes | None = None) -> Capture:
    """Look at an opened medium. Nothing is written to it; HEAD bytes of some files are read and forgotten."""
    identity, kept = listing.medium.identity, listing.entries[:MAX_ENTRIES]
    serial = identity.serial or origin.serial
    stand_ins = StandIns(key)
    stand_ins.remember(serial)
    entries = _entries(listing.tree, kept, stand_ins)
    return Capture(
        source="physical" if origin.is_physical else "emulated",
        made_at=made_at,
        vendor_id=identity.vendor_id or origin.vendor_id,
        product_id=identity.product_id or origin.product_id,
        serial=stand_ins.mixed(serial) if serial else "",
        manufacturer=origin.manufacturer,
        model=origin.model,
        label=identity.label,
        fs_type=origin.fs_type,
        left_out=len(listing.entries) - len(kept),
        entries=tuple(entries),
    )


def read_capture(path: Path) -> Capture:
    """The capture in a file. Raises CaptureError."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise CaptureError(path=path, why=f"it is larger than {MAX_FILE} bytes")
        return Capture.model_validate_json(path.read_bytes())
    except ValidationError as cause:
        why = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in cause.errors()[:20])
        raise CaptureError(path=path, why=why) from cause
    except OSError as cause:
        raise CaptureError(path=path, why=cause.strerror or str(cause)) from cause


def magic_of(head: bytes) -> str:
    """What the first bytes announce; `unknown` when nothing we know."""
    if not head:
        return "empty"
    for offset, constant, name in _MAGIC:
        if head[offset : offset + len(constant)] == constant:
            return name
    return "mpeg-ts" if head[:1] == b"G" else "unknown"  # ISO 13818-1: the sync byte 0x47, weak, so last


def _entries(tree: Tree, entries: Iterable[Entry], stand_ins: StandIns) -> Iterator[CapturedEntry]:
    kept = list(entries)
    spelled = stand_ins.paths((entry.shown_path, entry.modified_at) for entry in kept)
    looked: Counter[str] = Counter()
    for entry in kept:
        shown = spelled[entry.shown_path]
        if entry.kind is Kind.FILE:
            magic = _look(tree, entry, looked)
            yield CapturedEntry(path=shown, size=entry.size, modified_at=entry.modified_at, magic=magic)
        elif entry.kind is Kind.DIRECTORY:
            yield CapturedEntry(path=shown)
        else:
            yield CapturedEntry(path=shown, refused=str(entry.reason))


def _look(tree: Tree, entry: Entry, looked: Counter[str]) -> str:
    """The magic of the first few files of each extension; a file that cannot be read says so."""
    extension = entry.shown_path.rpartition("/")[2].rpartition(".")[2].lower()
    looked[extension] += 1
    if looked[extension] > LOOKED_AT:
        return ""
    try:
        descriptor = tree.open(entry.path)
    except OSError:
        return "unreadable"
    try:
        return magic_of(os.pread(descriptor, HEAD, 0))
    except OSError:
        return "unreadable"
    finally:
        os.close(descriptor)
