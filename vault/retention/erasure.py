"""Erasing: the one place in the house where a sealed object ends (D39).

Takes an Order, so there is none without a `dispose` entry on the log. Each recording, in this order, each step durable
before the next:
  1. its key slots, of object and private part, overwritten with zeros: from here on the bytes are noise;
  2. every copy of these slots that a crash left in log/cut;
  3. the object, and attempts of it that were set aside.
Every step may be done again, so a crash anywhere is mended by starting over. Works on the vault and in the same way on
a copy of its directory. An overwritten sector may live on inside a medium (a copy-on-write file system, a worn cell);
that is why the bucket's identity ends too, later (vault.retention.closing).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from core.digest import sha256_hex
from core.durable import fsync_directory
from vault.error import VaultError
from vault.formats.age import KEY_SLOT_SIZE
from vault.formats.merkle import number_path
from vault.formats.pack import BUNDLE, PAIR_ROOM, SLOT_ROOM
from vault.retention.order import Doomed, Order

Clear = Callable[[Path], None]
"""Takes the immutable mark off a file; only the sealer can (CAP_LINUX_IMMUTABLE)."""
_ZEROS = bytes(PAIR_ROOM)
_CUT_SLOTS = "*/keys-slots-*"


class EraseError(VaultError):
    """The disk would not let go of something."""

    code = "vault.erase"
    sentence = (
        "{path} could not be erased ({why}). The disposal stands on the log and is not finished; mend the cause and "
        "run it again: it goes on where it stopped."
    )


class Eraser:
    """Erases in one vault directory, or in a copy of one."""

    def __init__(self, directory: Path, clear: Clear) -> None:
        self._directory, self._clear = directory, clear

    def erase(self, order: Order) -> None:
        """Every recording of the order. Durable on return; raises EraseError and may then be called again."""
        try:
            for doomed in order.recordings:
                self._slots(doomed)
                self._cut(doomed)
                self._objects(doomed)
        except OSError as cause:
            path = cause.filename or self._directory
            raise EraseError(path=path, why=cause.strerror or str(cause)) from cause

    def _slots(self, doomed: Doomed) -> None:
        """Step 1. A file that is not there holds no slot; one that ends early is not made longer."""
        for place in doomed.places:
            path = self._directory / "keys" / "slots" / number_path(place // BUNDLE)
            if path.exists():
                _zero(path, [place % BUNDLE * PAIR_ROOM])

    def _cut(self, doomed: Doomed) -> None:
        """Step 2. The header tells whose a pair is; the private part's header lies beside it."""
        for path in sorted((self._directory / "log" / "cut").glob(_CUT_SLOTS)):
            raw = path.read_bytes()
            pairs = range(0, len(raw), PAIR_ROOM)
            found = [at for at in pairs if _is_torn(raw, at) or _header(raw, at) in doomed.headers]
            if found:
                self._clear(path)
                _zero(path, found, mode=0o640)

    def _objects(self, doomed: Doomed) -> None:
        """Step 3."""
        place = self._directory / "objects" / doomed.id[-2:].lower()
        aside = self._directory / "incoming"
        for path in (place / f"{doomed.id}.chunks", *sorted(aside.glob(f"{doomed.id}.*"))):
            if path.exists():
                self._clear(path)
                path.unlink()
        for directory in (place, aside):
            if directory.is_dir():
                fsync_directory(directory)


def _is_torn(raw: bytes, at: int) -> bool:
    """Whether the pair at `at` ends before the object's header does: nobody can tell whose it is.

    It was never on the log, so nothing is lost with it; the private part's key, which is whole, may be the recording's.
    """
    return len(raw) < at + SLOT_ROOM + KEY_SLOT_SIZE


def _header(raw: bytes, at: int) -> str:
    """The digest of the object's header in the pair at `at`."""
    start = at + SLOT_ROOM
    return sha256_hex(raw[start : start + KEY_SLOT_SIZE])


def _zero(path: Path, places: list[int], mode: int | None = None) -> None:
    """Overwrite slot pairs, durably; never beyond the end of the file."""
    if mode is not None:
        path.chmod(mode)
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        for place in places:
            _write(descriptor, place, _ZEROS[: max(0, size - place)])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, place: int, content: bytes) -> None:
    while content:
        done = os.pwrite(descriptor, content, place)
        place, content = place + done, content[done:]
