"""The vault's error family: whatever goes wrong below `vault/` reaches a caller as a VaultError.

Parsers of outside bytes keep one promise: malformed input raises a VaultError and no other exception class.
Each module adds its own subclasses beside the code that raises them.
"""

from __future__ import annotations

from core.errors import SealdockError


class VaultError(SealdockError):
    """Something the vault will not accept or cannot do."""

    code = "vault.failed"
    sentence = "The vault could not do this. Nothing was changed."


class AgeError(VaultError):
    """Anything wrong with an age file, its header, its payload or its keys (c2sp.org/age)."""

    code = "vault.age"
    sentence = "This is not an age file that can be used here. The stored bytes were not changed."
