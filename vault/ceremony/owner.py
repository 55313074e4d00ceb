"""Files that a ceremony makes belong to whoever keeps the directory, not to the root user who held the ceremony.

Under systemd each process has its own user; a slot file made by root would be one that vaultd can never write again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.durable import fsync_directory


@contextmanager
def as_owner_of(directory: Path) -> Iterator[None]:
    """Work under the user and group that `directory` belongs to; as we are where we are not root."""
    stat = directory.stat()
    if os.geteuid() != 0 or stat.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(stat.st_gid)
    os.seteuid(stat.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def take_place(new: Path, old: Path, like: Path | None = None) -> None:
    """Rename `new` over `old` and give it the owner of what it replaces, or of `like`; durable on return."""
    pattern = like or old
    if os.geteuid() == 0 and pattern.exists():
        stat = pattern.stat()
        os.chown(new, stat.st_uid, stat.st_gid)
    new.replace(old)
    fsync_directory(old.parent)
