"""A root in a passphrase file, for the key processes of tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vault.store.keys import Keyring
from vault.store.objects import Vault


def opener(vault: Vault, keys: Path) -> Callable[[bytes], Keyring]:
    """What opens root.age in `keys` with its passphrase."""
    return partial(Keyring.unlock, vault, keys)
