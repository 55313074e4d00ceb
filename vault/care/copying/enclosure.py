"""What goes into a copy beside the vault when it is asked for: the sealed root key, and the station's database.

Invariant: each is replaced as a whole, so that a run that was killed leaves the one of the run before.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from core.durable import fsync_directory, make_directory, replace
from vault.store.keys import ROOT_FILE


def copy_root(keys: Path, copy: Path) -> bool:
    """Copy root.age of the keys' directory, sealed under its passphrase as it is; False when there is none."""
    path = keys / ROOT_FILE
    if not path.exists():
        return False
    make_directory(copy / "sealed-root", 0o700)
    replace(copy / "sealed-root" / ROOT_FILE, path.read_bytes(), 0o400)
    return True


def copy_database(path: Path, copy: Path) -> None:
    """SQLite's online backup (sqlite.org/backup.html): consistent while the station works."""
    directory = copy / "database"
    make_directory(directory, 0o700)
    forming = directory / f".{path.name}.forming"
    forming.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as live,
        closing(sqlite3.connect(forming)) as taken,
    ):
        live.backup(taken, pages=1024)
    forming.chmod(0o600)
    with forming.open("rb+") as file:
        os.fsync(file.fileno())
    forming.replace(directory / path.name)
    fsync_directory(directory)
