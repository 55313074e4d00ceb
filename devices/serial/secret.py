"""Where recorders' passwords are: one file for a profile or for one recorder, in the station's password store.

    <store>/<profile id>.password              for every recorder of the profile
    <store>/<profile id>/<serial>.password     for one recorder; it goes first

Invariants: a file that others could have read or changed is not used; a password never stands in an error, a log or a
repr; the serial that a recorder claims can never name a file outside the store.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from core.regular import open_regular
from devices.serial.error import NoPasswordError, UnsafePasswordError, UnsendableError
from devices.serial.table import Password as PasswordStep

MOST_BYTES = 64  # of a password; the longest that a maker's tool takes is 32
_SERIAL = re.compile(r"[0-9A-Za-z_-]{1,32}")  # and so no dot and no slash
_NOT_FOR_OTHERS = (
    stat.S_IRWXO | stat.S_IWGRP
)  # the group may read: that is how systemd hands credentials over


@dataclass(frozen=True)
class Password:
    """One password and where it came from."""

    secret: bytes = field(repr=False)
    path: Path

    def as_sent(self, step: PasswordStep) -> bytes:
        """Padded to the recorder's width where the profile gives one. Raises UnsendableError."""
        if step.width is None:
            return self.secret
        if len(self.secret) > step.width:
            raise UnsendableError(field="password", why=f"it is longer than {step.width} bytes")
        return self.secret.ljust(step.width, bytes.fromhex(step.pad))


class PasswordStore:
    """The directory; read anew for each docking, so that a mended password works at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, profile_id: str, serial: str) -> Password:
        """The recorder's own password or its profile's. Raises NoPasswordError, UnsafePasswordError."""
        common = self._directory / f"{profile_id}.password"
        candidates = [common]
        if _SERIAL.fullmatch(serial):
            candidates.insert(0, self._directory / profile_id / f"{serial}.password")
        for path in candidates:
            try:
                return Password(self._read(path), path)
            except FileNotFoundError:
                continue
        raise NoPasswordError(serial=serial or "?", profile=profile_id, path=candidates[0])

    def _read(self, path: Path) -> bytes:
        """Raises FileNotFoundError for a file that is not there, and UnsafePasswordError for all else."""
        self._check_directories(path)
        try:
            descriptor = open_regular(path, os.O_NOFOLLOW)
        except FileNotFoundError:
            raise
        except OSError as cause:
            raise UnsafePasswordError(
                path=path, why="it is no plain file that the station may read"
            ) from cause
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(file.fileno()))
            raw = file.read(MOST_BYTES + 3).removesuffix(b"\n").removesuffix(b"\r")
        if not 1 <= len(raw) <= MOST_BYTES or not raw.isascii() or not raw.decode("ascii").isprintable():
            raise UnsafePasswordError(path=path, why=f"it is not one line of 1 to {MOST_BYTES} ASCII signs")
        return raw

    def _check_directories(self, path: Path) -> None:
        for directory in {self._directory, path.parent}:
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise UnsafePasswordError(path=path, why=f"{directory} is not a directory")
            _check(directory, found)


def _check(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in {0, os.geteuid()}:
        raise UnsafePasswordError(path=path, why="it belongs to another user")
    if found.st_mode & _NOT_FOR_OTHERS:
        raise UnsafePasswordError(path=path, why="others can read or change it (chmod o=,g-w mends that)")
