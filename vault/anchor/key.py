"""Cosigning keys on disk: one key a line, Ed25519 first, in a file of mode 0400 that is written once.

Invariant: a cosigning key is used for cosignatures and nothing else; each type has its own secret.
"""

from __future__ import annotations

from pathlib import Path

from core.durable import create_once
from vault.error import VaultError
from vault.formats.cosignature import CosignerSigningKey, Kind

WITNESS_KEY = "witness.key"
_SECRET_MODE = 0o400


class NoCosignerError(VaultError):
    """The key file is not there or holds no keys."""

    code = "vault.no_cosigner"
    sentence = (
        "The key file {path} cannot be used ({why}). Nothing was cosigned; `sealdock witness key` makes a witness's "
        "keys."
    )


def make_keys(path: Path, name: str, kinds: tuple[Kind, ...]) -> list[CosignerSigningKey]:
    """New keys in the new file `path`. Raises AlreadyExistsError, CosignerKeyError or OSError."""
    keys = [CosignerSigningKey.generate(name, kind) for kind in kinds]
    create_once(path, "".join(f"{key.private_text}\n" for key in keys).encode(), _SECRET_MODE)
    return keys


def read_keys(path: Path) -> list[CosignerSigningKey]:
    """The keys in `path`, in order. Raises NoCosignerError or CosignerKeyError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else "it is not text"
        raise NoCosignerError(path=path, why=why) from cause
    if not lines:
        raise NoCosignerError(path=path, why="it is empty")
    return [CosignerSigningKey.parse(line) for line in lines]
