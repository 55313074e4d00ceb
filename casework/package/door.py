"""The door to originals: keyd gives one file key for one object under the export entry.

keyd limits how fast one process may ask, so that nobody empties the vault unseen; a package of many small
files waits its turn here instead of failing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from vault.formats.entry import Leaf
from vault.formats.payload import PayloadReader
from vault.keyd import KeydClient, RateLimitedError
from vault.store.objects import Vault, open_object

PATIENCE_S = 120.0  # then keyd is busy with something else than us, and a person should know
PAUSE_S = 0.2  # keyd gives the console twenty keys a second


@dataclass(frozen=True)
class OriginalDoor:
    """Opens originals; call it as `OpenOriginal` of casework.package.build."""

    vault: Vault
    keyd: KeydClient

    def __call__(self, index: int, leaf: Leaf, grant: int) -> PayloadReader:
        """A reader over the original. Raises VaultError (locked, refused, disposed, damaged)."""
        return open_object(self.vault, index, leaf, self._file_key(index, grant))

    def _file_key(self, index: int, grant: int) -> bytes:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.keyd.unwrap(index, grant=grant)
            except RateLimitedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)
