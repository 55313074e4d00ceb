"""What this machine needs for its work, looked at one by one, each with what to do when it is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import SealdockError
from devices.profile import load_profiles
from ingest.copying import RESERVE_BYTES
from ingest.status import read_status
from sealdock import schema
from sealdock.wiring import Station

PROGRAMS = {
    "ffmpeg": "ffmpeg",
    "bwrap": "bubblewrap",
    "fusermount3": "fuse3",
    "exiftool": "libimage-exiftool-perl",
    "mount.exfat-fuse": "exfat-fuse",
}
LEAST_FREE_SHARE = 0.05  # below this the dock still works, and somebody should act this week


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` is empty when all is well."""

    subject: str
    fact: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to do anything."""
        return not self.advice


def examine(station: Station) -> Iterator[Finding]:
    """Look at programs, devices, vault, database, keys and space."""
    yield from (_program(name, package) for name, package in PROGRAMS.items())
    yield _fuse()
    yield _attempt("vault", lambda: f"{station.vault.id} at {station.settings.vault}")
    yield _attempt("database", lambda: _database(station))
    yield _attempt("key process", lambda: _keyd(station))
    yield _attempt("profiles", lambda: f"{len(load_profiles(site=station.settings.dock.profiles))} known")
    yield _dock(station)
    yield _space(station.settings.vault)
    yield _bays(station)


def _program(name: str, package: str) -> Finding:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Finding(name, found or "not found", "" if found else f"Install the Debian package {package}.")


def _fuse() -> Finding:
    there = Path("/dev/fuse").exists()
    advice = "" if there else "Load the kernel module `fuse`; without it media cannot be indexed."
    return Finding("/dev/fuse", "there" if there else "not there", advice)


def _attempt(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, look())
    except SealdockError as error:
        return Finding(subject, error.code, str(error))


def _database(station: Station) -> str:
    schema.require_current(station.db)
    return "up to date"


def _keyd(station: Station) -> str:
    return (
        "unlocked" if station.keyd("console").status().is_unlocked else "locked: run `sealdock keyd unlock`"
    )


def _dock(station: Station) -> Finding:
    status = read_status(station.dock_status)
    if not status.is_stale:
        return Finding("dock", f"{len(status.bays)} bays, speaking")
    last = f"last heard of at {status.at}" if status.at else "never heard of"
    return Finding("dock", last, "Start sealdock-dockd; until then no bay can be believed.")


def _space(directory: Path) -> Finding:
    usage = shutil.disk_usage(directory if directory.exists() else directory.parent)
    room = max(0, usage.free - RESERVE_BYTES)
    is_enough = room > LEAST_FREE_SHARE * usage.total
    advice = "" if is_enough else "Add storage: docking stops, safely, when the vault is full."
    return Finding("space", f"{room / 1e9:.1f} GB for footage ({room / usage.total:.0%})", advice)


def _bays(station: Station) -> Finding:
    bays = station.settings.dock.bays
    advice = (
        "" if bays else "List the bays under [dock] in the settings file; a device elsewhere is not opened."
    )
    return Finding("bays", str(len(bays)), advice)
