"""The exchange of one file of a vault: the damaged one set aside, the good one put under its name, the flags as before.

Invariants: a damaged file is never deleted; a file that vaultd writes is exchanged only under vaultd's lock; the flags
that keep a file as it is are off only meanwhile.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex

from core.durable import fsync_directory
from vault.care.mending.repaired import NotRepairableError
from vault.care.placing import Placing
from vault.store.objects import Vault
from vault.store.worm import Flag, NoWormError, flags, put_on, take_off


class Exchange:
    """Exchanges files of `vault`, named as they lie below it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def replace(self, file: str, good: bytes) -> str | None:
        """Put a whole file in the place of a damaged or lost one, durably; gives where the damaged one lies."""
        path = self._vault.path / file
        with self._writable(path):
            aside = self._set_aside(file)
            with closing(self._placing()) as placing:
                placing.put(file, good, path if path.exists() else self._vault.log_path / "checkpoint")
                placing.settle()
        return aside

    def replace_object(self, file: str, source: Path, size: int, sha256: str) -> str | None:
        """The same with an object, read from `source` and held to size (bytes) and digest on its way.

        Raises NotRepairableError when `source` is not that object; the damaged one is then in its place still.
        """
        with self._writable(self._vault.path / file):
            aside = self._set_aside(file)
            with closing(self._placing()) as placing:
                wrong = placing.put_object(source, file, size, sha256)
        if wrong:
            raise NotRepairableError(file=file, why=f"the copy changed while it was read: {wrong}")
        return aside

    def keep_copy(self, file: str) -> str | None:
        """Set a copy aside of a file that will be mended in its place; durable on return."""
        return self._set_aside(file, whole=False)

    @contextmanager
    def writer_stopped(self, file: str, *, is_edge: bool) -> Iterator[None]:
        """For files that vaultd writes: hold its lock meanwhile. Raises NotRepairableError while it runs."""
        with (self._vault.log_path / "lock").open("ab") as lock:
            try:
                if is_edge:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                why = "vaultd writes it; stop sealdock-vaultd, repair, and start it again"
                raise NotRepairableError(file=file, why=why) from cause
            yield

    def _placing(self) -> Placing:
        return Placing(self._vault.path, self._vault.path / "incoming" / "repair")

    def _set_aside(self, file: str, *, whole: bool = True) -> str | None:
        """Give the damaged file a second name, or copy one that is mended in its place; durable on return."""
        path = self._vault.path / file
        if not path.exists():
            return None
        aside = self._vault.mismatched_path(f"{file.replace('/', '-')}.{token_hex(4)}")
        if whole:
            aside.hardlink_to(path)
            fsync_directory(aside.parent)
        else:
            with closing(self._placing()) as placing:
                placing.put(str(aside.relative_to(self._vault.path)), path.read_bytes(), path)
                placing.settle()
        return str(aside)

    @contextmanager
    def _writable(self, path: Path) -> Iterator[None]:
        """Without the flags that keep a file as it is, which are set again behind it."""
        taken: list[tuple[Path, Flag]] = []
        try:
            for place, flag in ((path.parent, Flag.APPEND_ONLY), (path, Flag.IMMUTABLE)):
                if place.exists() and flag in (flags(place) or Flag(0)):
                    take_off(place, flag)
                    taken.append((place, flag))
            yield
        except NoWormError as cause:
            why = "it is immutable and this process may not change that; run the command as root"
            raise NotRepairableError(file=str(path), why=why) from cause
        finally:
            for place, flag in taken:
                put_on(place, flag)
