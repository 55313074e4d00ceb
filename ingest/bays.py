"""The map from sockets to bays, as the settings hold it: read, changed safely, taken back.

Invariants: only the `[[dock.bays]]` tables of the settings file are ever changed; the new text is parsed and checked
whole before it takes the old one's place, in one rename; everything else in the file, comments included,
keeps its bytes; the file before is kept beside it, so that one step can be taken back.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.durable import replace
from core.errors import Exit
from core.settings import BaySettings, load
from devices.authorise import UsbIds
from devices.profile import Profile
from ingest.error import IngestError
from ingest.unlocking import table_of

BEFORE_SUFFIX = ".before-bays"
MODE = 0o640
_PATH = re.compile(r"[!#-\[\]-~]*-usb(?:v[123])?-\d+:\d+(?:\.\d+)*")
_HEADER = re.compile(r"^\s*\[\[\s*dock\s*\.\s*bays\s*\]\]\s*(?:#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")


class BayMapError(IngestError):
    """The bays cannot be written into the settings."""

    code = "ingest.bay_map"
    sentence = (
        "The bays were not written into {path}: {why}. The settings are as they were, and the dock goes on with "
        "them; mend the file and try again."
    )
    exit_code = Exit.WRONG_USE


def paths_of(bay: BaySettings) -> tuple[str, ...]:
    """Every path by which a bay is known: a socket may have one for each speed."""
    return (bay.path, *bay.also)


def vendor_specific(profiles: Iterable[Profile]) -> frozenset[UsbIds]:
    """Devices whose own class of interface a profile needs: converters to a serial line."""
    tables = [table for profile in profiles if (table := table_of(profile))]
    return frozenset((usb.vendor, usb.product) for table in tables for usb in table.usb)


def write_bays(path: Path, bays: Sequence[BaySettings]) -> Path:
    """Put the bays into the settings file; gives the copy of the file before. Raises BayMapError."""
    try:
        before = path.read_text(encoding="utf-8")
        kept = path.stat()
    except (OSError, UnicodeDecodeError) as cause:
        raise BayMapError(path=path, why=str(cause)) from cause
    after = with_bays(before, bays, path)
    copy = path.with_name(path.name + BEFORE_SUFFIX)
    try:
        _check(path, after)
        _put(copy, before, kept)
        _put(path, after, kept)
    except OSError as cause:
        raise BayMapError(path=path, why=cause.strerror or str(cause)) from cause
    return copy


def take_back(path: Path) -> None:
    """Exchange the settings with the copy before the last change; twice is as never. Raises BayMapError."""
    copy = path.with_name(path.name + BEFORE_SUFFIX)
    try:
        now, before, kept = path.read_text(encoding="utf-8"), copy.read_text(encoding="utf-8"), path.stat()
        if _without_bays(now, path) != _without_bays(before, path):
            raise BayMapError(path=path, why="other settings were changed since, and they would be lost")
        _put(path, before, kept)
        _put(copy, now, kept)
    except FileNotFoundError as cause:
        raise BayMapError(path=path, why="there is no change of bays to take back") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise BayMapError(path=path, why=str(cause)) from cause


def with_bays(text: str, bays: Sequence[BaySettings], path: Path) -> str:
    """The settings with exactly these bays; everything else keeps its bytes. Raises BayMapError."""
    for bay in bays:
        for one in paths_of(bay):
            if not _PATH.fullmatch(one):
                raise BayMapError(path=path, why=f"{one!r} is no path of a USB port")
    wanted, rest = _without_bays(text, path), _cut(text)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    after = rest.rstrip("\n") + "\n\n" + bay_tables(bays) if bays else rest
    try:
        is_right = _without_bays(after, path) == wanted and _bays_in(after, path) == [*map(_as_table, bays)]
    except BayMapError:
        is_right = False
    if not is_right:
        raise BayMapError(path=path, why="its bays are not written as [[dock.bays]] tables of their own")
    return after


def bay_tables(bays: Iterable[BaySettings]) -> str:
    """The tables as they stand in the file; the udev rule looks for each path in double quotes."""
    return "\n".join(
        "[[dock.bays]]\n" + "".join(f"{name} = {_literal(value)}\n" for name, value in _as_table(bay).items())
        for bay in sorted(bays, key=lambda bay: bay.number)
    )


def _as_table(bay: BaySettings) -> dict[str, object]:
    also = list(paths_of(bay)[1:])
    return {"number": bay.number, "path": bay.path} | ({"also": also} if also else {})


def _literal(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _cut(text: str) -> str:
    """The text without its [[dock.bays]] tables; comments that stand before a table stay."""
    kept, inside = list[str](), False
    for line in text.splitlines(keepends=True):
        if _ANY_HEADER.match(line) and not (
            inside and not line.lstrip().startswith("[[") and "]" not in line
        ):
            inside = bool(_HEADER.match(line.rstrip("\n")))
        if not inside or line.lstrip().startswith("#"):
            kept.append(line)
    return "".join(kept)


def _parsed(text: str, path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise BayMapError(path=path, why=str(cause)) from cause


def _without_bays(text: str, path: Path) -> dict[str, object]:
    found = _parsed(text, path)
    dock = found.get("dock")
    if isinstance(dock, dict):
        rest = {name: value for name, value in dock.items() if name != "bays"}
        found = {name: value for name, value in found.items() if name != "dock"} | (
            {"dock": rest} if rest else {}
        )
    return found


def _bays_in(text: str, path: Path) -> list[object]:
    dock = _parsed(text, path).get("dock")
    found = dock.get("bays", []) if isinstance(dock, dict) else []
    return list(found) if isinstance(found, list) else []


def _check(path: Path, text: str) -> None:
    """The station's own check of its settings, on the new text, where relative paths mean the same."""
    trial = path.with_name(f".{path.name}.{os.getpid()}.trial")
    try:
        replace(trial, text.encode(), MODE)
        load(trial)
    finally:
        trial.unlink(missing_ok=True)


def _put(path: Path, text: str, like: os.stat_result) -> None:
    """Write with the mode and the owner that the settings have: a daemon must go on reading them."""
    replace(path, text.encode(), like.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)
