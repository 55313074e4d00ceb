"""What this machine needs for its work, looked at one by one, each with what to do when it is not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.clock import parse_stamp, utc_now
from core.errors import SealdockError
from devices.profile import load_profiles
from ingest.status import read_status
from sealdock import schema
from sealdock.space import space_of, told_space
from sealdock.wiring import Station
from vault.care.copying.mark import Mark
from vault.care.fixity import fixity_state
from vault.sealer import worm_state

PROGRAMS = {
    "ffmpeg": "ffmpeg",
    "bwrap": "bubblewrap",
    "fusermount3": "fuse3",
    "exiftool": "libimage-exiftool-perl",
    "mount.exfat-fuse": "exfat-fuse",
}
LEAST_FREE_SHARE = 0.05  # below this the dock still works, and somebody should act this week
COPY_AGE = timedelta(days=2)  # a copy is made every night; one night may fail


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
    yield _guarded("space", lambda: _space(station))
    yield _guarded("fixity", lambda: _fixity(station))
    yield _guarded("second copy", lambda: _second_copy(station))
    yield _guarded("immutable", lambda: _worm(station))
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


def _guarded(subject: str, look: Callable[[], Finding]) -> Finding:
    """A look that needs vault or database; where they are not to be had, that is what is found."""
    try:
        return look()
    except SealdockError as error:
        return Finding(subject, error.code, str(error))
    except (OSError, SQLAlchemyError) as error:
        return Finding(
            subject, "cannot be looked at", f"Mend vault and database first ({type(error).__name__})."
        )


def _space(station: Station) -> Finding:
    space = space_of(station)
    is_enough = not space.is_short and space.room > LEAST_FREE_SHARE * space.total
    advice = "" if is_enough else "Add storage: docking stops, safely, when the vault is full."
    return Finding("space", told_space(space), advice)


def _fixity(station: Station) -> Finding:
    days = station.settings.fixity.days
    with station.db.reading() as session:
        state = fixity_state(session, days)
    fact = f"{state.objects} recordings, {state.failed} do not hold, {state.overdue} unproven for {days} days"
    if state.failed:
        return Finding("fixity", fact, "See `sealdock fixity list`, then `sealdock fixity repair ID`.")
    advice = "Let the worker run at night, or raise fixity.budget_mib_s." if state.overdue else ""
    return Finding("fixity", fact, advice)


def _second_copy(station: Station) -> Finding:
    copy = station.settings.fixity.second_copy
    if copy is None:
        return Finding(
            "second copy", "none", "Run `sealdock backup run DEST` each night; set fixity.second_copy."
        )
    mark = Mark.read(copy)
    if mark is None or not mark.finished_at:
        return Finding("second copy", f"none at {copy}", f"Run `sealdock backup run {copy}`.")
    age = utc_now() - parse_stamp(mark.finished_at)
    fact = f"{mark.size} entries, {age.total_seconds() / 3600:.0f} hours old, {len(mark.missing)} recordings missing"
    is_well = age < COPY_AGE and not mark.missing
    return Finding(
        "second copy", fact, "" if is_well else f"Run `sealdock backup run {copy}` and read what it says."
    )


def _worm(station: Station) -> Finding:
    state = worm_state(station.vault)
    if not state.is_supported:
        return Finding("immutable", "this file system has no such flag; the log alone guards what is sealed")
    fact = f"{state.immutable} of {state.total} sealed files"
    wanted = station.settings.sealer.immutable and not state.is_whole
    return Finding(
        "immutable", fact, "Start sealdock-sealer; see that it runs as its own unit." if wanted else ""
    )


def _bays(station: Station) -> Finding:
    bays = station.settings.dock.bays
    advice = (
        "" if bays else "List the bays under [dock] in the settings file; a device elsewhere is not opened."
    )
    return Finding("bays", str(len(bays)), advice)
