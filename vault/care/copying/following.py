"""Following a disposal into a copy: what the log gave up and the vault destroyed is destroyed there as well.

Invariant: both are asked. Without an entry on the log nothing in a copy is touched, so that damage to the vault never
spreads to its copy; without the vault having destroyed it, it waits. Zeros are written over keys before their names go;
what a disk keeps of overwritten blocks is said in docs/operations/backup.md.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.durable import fsync_directory
from vault.care.copying.mirror import Mirror
from vault.care.copying.stretch import Pending
from vault.formats.merkle import number_path
from vault.formats.pack import BUNDLE, PAIR_ROOM, SLOT_ROOM
from vault.store.objects import Vault


class Follower:
    """Destroys in a copy what a logged disposal allows and the vault itself has destroyed."""

    def __init__(self, source: Vault, target: Path) -> None:
        self._source, self._target = source, target

    def follow(self, pending: Pending) -> int:
        """Destroy, durably; what the vault still holds stays in `pending`. Gives how many things went."""
        went = 0
        for index in sorted(pending.slots):
            went += self._slots(index)
            if not self._is_kept(index):
                pending.slots.discard(index)
        for entry_id in sorted(pending.objects):
            if not self._source.object_path(entry_id).exists():
                went += self._object(entry_id)
                pending.objects.discard(entry_id)
        for name in sorted(pending.buckets):
            if not (self._source.keys_path / "buckets" / name).exists():
                went += self._bucket(name)
                pending.buckets.discard(name)
        return went

    def _slots(self, index: int) -> int:
        """Zero those slots of an entry that are zeros in the vault."""
        kept = self._source.slots.body_slot(index), self._source.slots.object_slot(index)
        path = self._target / "keys/slots" / number_path(index // BUNDLE)
        went = 0
        with path.open("r+b", buffering=0) as file:
            for slot, offset in zip(kept, (0, SLOT_ROOM), strict=True):
                place = index % BUNDLE * PAIR_ROOM + offset
                if slot is None and any(os.pread(file.fileno(), SLOT_ROOM, place)):
                    os.pwrite(file.fileno(), bytes(SLOT_ROOM), place)
                    went += 1
            os.fsync(file.fileno())
        return went

    def _is_kept(self, index: int) -> bool:
        slots = self._source.slots
        return slots.body_slot(index) is not None or slots.object_slot(index) is not None

    def _object(self, entry_id: str) -> int:
        path = self._target / Mirror.object_name(entry_id)
        if not path.exists():
            return 0
        path.unlink()
        fsync_directory(path.parent)
        return 1

    def _bucket(self, name: str) -> int:
        directory = self._target / "keys/buckets" / name
        if not directory.exists():
            return 0
        for path in directory.iterdir():  # overwritten first: a name that goes leaves its bytes
            with path.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), bytes(path.stat().st_size), 0)
                os.fsync(file.fileno())
        shutil.rmtree(directory)
        fsync_directory(directory.parent)
        return 1
