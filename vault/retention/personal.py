"""A person's own key: Ed25519, sealed by a passphrase that only the person knows.

The file is what `age -p` writes, around a PKCS #8 key in PEM, so `age -d` and `openssl pkeyutl` can take over from this
program. It is made once, read by whoever signs, and never kept open. Whoever has the file and not the passphrase has
nothing; whoever has both is that person to the log until the key is revoked.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from core.durable import create_once, make_directory
from core.errors import Exit
from vault.error import AgeError, VaultError
from vault.formats.passphrase import seal, unseal

PERSONAL = "personal"  # the directory below the station's state
LEAST_PASSPHRASE = 12  # characters: the file may be copied and tried at leisure
_MODE = 0o400


class WeakPersonalPassphraseError(VaultError):
    """A passphrase that would make anybody the approver."""

    code = "vault.personal_weak"
    sentence = (
        "The passphrase is too short: {least} characters are the least for a personal key. Nothing was made."
    )
    exit_code = Exit.WRONG_USE


class PersonalKeyError(VaultError):
    """A personal key that cannot be opened."""

    code = "vault.personal_key"
    sentence = (
        "The personal key {path} cannot be opened ({why}). Nothing was signed; type the passphrase again, or have the "
        "key revoked and a new one enrolled."
    )
    exit_code = Exit.NO


def personal_path(state: Path, account: str) -> Path:
    """Where the sealed key of an account lies."""
    return state / PERSONAL / f"{account}.age"


def make_personal_key(path: Path, passphrase: bytes) -> bytes:
    """A fresh key, sealed into `path`; gives the 32 bytes of its public half.

    Raises WeakPersonalPassphraseError or AlreadyExistsError.
    """
    if len(passphrase.decode(errors="replace")) < LEAST_PASSPHRASE:
        raise WeakPersonalPassphraseError(least=LEAST_PASSPHRASE)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    make_directory(path.parent, mode=0o700)
    create_once(path, seal(passphrase, pem), _MODE)
    return key.public_key().public_bytes_raw()


def open_personal_key(path: Path, passphrase: bytes) -> Ed25519PrivateKey:
    """Takes about a second by design (scrypt). Raises PersonalKeyError."""
    try:
        pem = unseal(passphrase, path.read_bytes())
        key = load_pem_private_key(pem, None)
    except OSError as cause:
        raise PersonalKeyError(path=path, why=cause.strerror) from cause
    except AgeError as cause:
        raise PersonalKeyError(path=path, why="the passphrase does not fit, or it is damaged") from cause
    except (ValueError, TypeError) as cause:
        raise PersonalKeyError(path=path, why="it holds no key") from cause
    if not isinstance(key, Ed25519PrivateKey):
        raise PersonalKeyError(path=path, why="it holds a key of another kind")
    return key
