"""Founding a vault: the one moment when keys, buckets and the log's first entries come into being.

Nothing here happens by itself: `sealdock vault init` calls it once, and a half-made vault is no vault, because
vault.json is written last. The recovery identity is given to the caller and kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyrage

from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from core.durable import create_once, make_directory
from core.errors import Exit
from vault.error import VaultError
from vault.formats.age import Identity, Recipient
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.log.submission import FACTS_BUCKET
from vault.log.writer import LogWriter
from vault.store.keys import RECOVERY_RECIPIENT, ROOT_FILE, ROOT_RECIPIENT, ensure_bucket
from vault.store.medium import DiskFullError, MediumError
from vault.store.objects import VAULT_FILE, Vault

SECRET_MODE = 0o400
PERMITS = {  # which process may put which type of entry on the log; registered there at founding
    "vaultd": ["genesis", "key", "bucket", "clock", "refusal"],
    "dockd": ["ingest", "session"],
    "worker": ["derive", "verify"],
    "anchord": ["anchor"],
    "sealer": ["destroy"],
    "console": [
        "account", "unit", "officer", "recorder", "case", "link", "view", "denied", "export",
        "hold", "release", "rewrap", "dispose",
    ],
    "bureau": ["signer", "schedule", "hold", "release", "rewrap", "dispose", "report", "repair", "drill"],
}  # fmt: skip
_DIRECTORIES = ("incoming", "objects", "packs", "keys/slots", "keys/buckets", "log/tile/entries")


class NotEmptyError(VaultError):
    """There is something where the vault should go."""

    code = "vault.not_empty"
    sentence = (
        "{path} is not empty. Nothing was changed; choose another directory. "
        "A vault is never made over another one."
    )
    exit_code = Exit.WRONG_USE


class FoundingError(VaultError):
    """The disk refused while the vault was being made."""

    code = "vault.founding"
    sentence = (
        "The vault could not be made at {path} ({why}). What lies there now is no vault and holds no evidence: "
        "remove it, mend the cause and try again."
    )


class WeakPassphraseError(VaultError):
    """A passphrase that protects nothing."""

    code = "vault.weak_passphrase"
    sentence = "The passphrase is too short: {least} characters are the least. Nothing was made."
    exit_code = Exit.WRONG_USE


LEAST_PASSPHRASE = 8  # characters (NIST SP 800-63B section 5.1.1.1, memorised secrets)


@dataclass(frozen=True)
class VaultIdentity:
    """What a person writes down: the vault's id, the key to check everything with, and its fingerprint.

    `recovery_identity` is there only when the vault made one: print it, keep it off the machine, forget it.
    """

    id: str
    vkey: str
    fingerprint: str
    recovery_identity: str | None = field(default=None, repr=False)


def initialise(
    directory: Path, keys_directory: Path, passphrase: bytes, recovery_recipient: str | None = None
) -> VaultIdentity:
    """Make a vault in `directory` and its secrets in `keys_directory`; both must be empty or not exist.

    Raises NotEmptyError, WeakPassphraseError, FoundingError, or KeyTextError for a recovery recipient that is none.
    """
    _check(directory, keys_directory, passphrase)
    try:
        return _found(directory, keys_directory, passphrase, recovery_recipient)
    except OSError as cause:
        path = cause.filename or directory
        raise FoundingError(path=path, why=cause.strerror or str(cause)) from cause
    except (DiskFullError, MediumError) as cause:
        raise FoundingError(path=directory, why=str(cause)) from cause


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a raw public key in groups of four hexadecimal digits, to be read aloud and compared."""
    digest = sha256_hex(public_key)
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


def _found(
    directory: Path, keys_directory: Path, passphrase: bytes, recovery_recipient: str | None
) -> VaultIdentity:
    recovery = None if recovery_recipient else Identity.generate()
    recipient = Recipient.parse(recovery_recipient) if recovery_recipient else recovery.recipient  # type: ignore[union-attr]
    vault_id = new_id()
    origin = f"sealdock/{vault_id.lower()}"
    log_key = SigningKey.generate(origin)
    vault = Vault(directory, vault_id, origin, log_key.verifier, stamp(utc_now()))
    for name in _DIRECTORIES:
        make_directory(directory / name)
    root = _write_root(vault, keys_directory, passphrase, recipient)
    process_keys = _write_process_keys(keys_directory, log_key)
    ensure_bucket(vault, FACTS_BUCKET)
    create_once(vault.log_path / "policy", f"log {log_key.vkey}\nquorum none\n".encode())
    _write_first_entries(vault, log_key, process_keys, root, recipient)
    create_once(directory / VAULT_FILE, vault.facts())
    return VaultIdentity(
        vault_id, log_key.vkey, fingerprint(log_key.verifier.public), recovery.text if recovery else None
    )


def _check(directory: Path, keys_directory: Path, passphrase: bytes) -> None:
    if len(passphrase.decode(errors="replace")) < LEAST_PASSPHRASE:
        raise WeakPassphraseError(least=LEAST_PASSPHRASE)
    for path in (directory, keys_directory):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise NotEmptyError(path=path)


def _write_root(vault: Vault, keys_directory: Path, passphrase: bytes, recovery: Recipient) -> Recipient:
    root = Identity.generate()
    make_directory(keys_directory, mode=0o700)
    sealed = pyrage.passphrase.encrypt(f"{root.text}\n".encode(), passphrase.decode())
    create_once(keys_directory / ROOT_FILE, sealed, SECRET_MODE)
    create_once(vault.keys_path / ROOT_RECIPIENT, f"{root.recipient.text}\n".encode())
    create_once(vault.keys_path / RECOVERY_RECIPIENT, f"{recovery.text}\n".encode())
    return root.recipient


def _write_process_keys(keys_directory: Path, log_key: SigningKey) -> list[SigningKey]:
    keys = [SigningKey.generate(name) for name in PERMITS]
    for name, key in (("log", log_key), *((key.name, key) for key in keys)):
        create_once(keys_directory / f"{name}.key", f"{key.private_text}\n".encode(), SECRET_MODE)
    return keys


def _write_first_entries(
    vault: Vault, log_key: SigningKey, keys: list[SigningKey], root: Recipient, recovery: Recipient
) -> None:
    """Genesis, then one `key` entry for each process: what each may submit is public from the start."""
    genesis = {
        "format": 1, "vault": vault.id, "key": log_key.vkey, "root": root.text, "recovery": recovery.text,
    }  # fmt: skip
    entries = [_entry("genesis", genesis)]
    entries += [
        _entry("key", {"name": key.name, "vkey": key.vkey, "permits": PERMITS[key.name]}) for key in keys
    ]
    writer = LogWriter(vault, log_key)
    try:
        writer.append([(leaf, Private()) for leaf in entries])
    finally:
        writer.close()


def _entry(entry_type: str, facts: dict[str, object]) -> Leaf:
    return Leaf(id=new_id(), type=entry_type, time=stamp(utc_now()), by="vaultd", facts=facts)
