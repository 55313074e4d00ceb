"""Founding a vault: the one moment when keys, buckets and the log's first entries come into being.

Nothing here happens by itself: `sealdock vault init` calls it once, and a half-made vault is no vault, because
vault.json is written last. It is made only for recovery keys that have opened a test object (vault.store.recovery); a
recovery identity is given to the caller and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from core.durable import create_once, make_directory
from core.errors import Exit
from core.settings import RootKind
from vault.error import VaultError
from vault.formats.age import Identity
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.log.bucket_rule import commitment
from vault.log.submission import FACTS_BUCKET
from vault.log.writer import LogWriter
from vault.store.keys import RECOVERY_RECIPIENT, ROOT_RECIPIENT, ensure_bucket
from vault.store.medium import DiskFullError, MediumError
from vault.store.objects import VAULT_FILE, Vault
from vault.store.recovery import ProvenRecovery, prove
from vault.store.root import SECRET_MODE, RootDamagedError, WeakPassphraseError, check_secret
from vault.store.root_kind import RootPlace

__all__ = [
    "PERMITS", "FoundingError", "NotEmptyError", "VaultIdentity", "WeakPassphraseError", "check_empty", "fingerprint",
    "initialise", "readers",
]  # fmt: skip

PERMITS = {  # which process may put which type of entry on the log; registered there at founding
    "vaultd": ["genesis", "key", "bucket", "root", "compromise", "ceremony", "clock", "refusal"],
    "dockd": ["ingest", "session", "statement", "erase"],
    "worker": ["derive", "verify", "open"],
    "anchord": ["anchor"],
    "sealer": ["destroy"],
    "console": [
        "account", "unit", "officer", "recorder", "case", "link", "view", "denied", "export",
        "hold", "release", "dispose", "issue", "claim", "quarantine",
    ],
    "bureau": ["signer", "schedule", "hold", "release", "rewrap", "dispose", "report", "repair", "drill"],
}  # fmt: skip
_DIRECTORIES = (
    "incoming",
    "objects",
    "packs",
    "keys/slots",
    "keys/buckets",
    "log/tile/entries",
    "log/anchors",
)


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
    directory: Path,
    keys_directory: Path,
    secret: bytes,
    recovery: Sequence[ProvenRecovery] = (),
    *,
    root: RootPlace | None = None,
) -> VaultIdentity:
    """Make a vault in `directory` and its secrets in `keys_directory`; both must be empty or not exist.

    `secret` is what the root needs: a passphrase (the default), a PIN, or nothing. Without `recovery` a recovery key is
    made, put to the trial here and given back. Raises NotEmptyError, WeakPassphraseError, RootError or FoundingError.
    """
    place = root or RootPlace(RootKind.PASSPHRASE)
    check_secret(place.kind, secret)
    check_empty(directory, keys_directory)
    try:
        return _found(directory, keys_directory, secret, list(recovery), place)
    except OSError as cause:
        path = cause.filename or directory
        raise FoundingError(path=path, why=cause.strerror or str(cause)) from cause
    except (DiskFullError, MediumError) as cause:
        raise FoundingError(path=directory, why=str(cause)) from cause


def check_empty(*directories: Path) -> None:
    """Raises NotEmptyError when there is something in one of them."""
    for path in directories:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise NotEmptyError(path=path)


def readers(root: str, recovery: Sequence[str]) -> dict[str, object]:
    """How an entry names whom every bucket is wrapped to: one recovery recipient as it is, several as a list."""
    return {"root": root, "recovery": recovery[0] if len(recovery) == 1 else list(recovery)}


def fingerprint(public_key: bytes) -> str:
    """SHA-256 of a raw public key in groups of four hexadecimal digits, to be read aloud and compared."""
    digest = sha256_hex(public_key)
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


def _found(
    directory: Path, keys_directory: Path, secret: bytes, recovery: list[ProvenRecovery], place: RootPlace
) -> VaultIdentity:
    made = None if recovery else Identity.generate()
    recipients = [proven.recipient.text for proven in recovery or [prove(made)]]  # type: ignore[arg-type]
    vault_id = new_id()
    origin = f"sealdock/{vault_id.lower()}"
    log_key = SigningKey.generate(origin)
    vault = Vault(directory, vault_id, origin, log_key.verifier, stamp(utc_now()))
    for name in _DIRECTORIES:
        make_directory(directory / name)
    root = _write_root(vault, keys_directory, secret, recipients, place)
    process_keys = _write_process_keys(keys_directory, log_key)
    ensure_bucket(vault, FACTS_BUCKET)
    create_once(vault.log_path / "policy", f"log {log_key.vkey}\nquorum none\n".encode())
    _write_first_entries(vault, log_key, process_keys, readers(root, recipients))
    create_once(directory / VAULT_FILE, vault.facts())
    return VaultIdentity(
        vault_id, log_key.vkey, fingerprint(log_key.verifier.public), made.text if made else None
    )


def _write_root(
    vault: Vault, keys_directory: Path, secret: bytes, recovery: Sequence[str], place: RootPlace
) -> str:
    """The root, kept and tried before anything is wrapped to it; gives its recipient."""
    make_directory(keys_directory, mode=0o700)
    identity, root = Identity.generate(), place.root(keys_directory)
    root.keep(identity, secret)
    recipient = _reopened(place, keys_directory, secret, identity)
    create_once(vault.keys_path / ROOT_RECIPIENT, f"{recipient}\n".encode())
    create_once(vault.keys_path / RECOVERY_RECIPIENT, "".join(f"{text}\n" for text in recovery).encode())
    return recipient


def _reopened(place: RootPlace, keys_directory: Path, secret: bytes, identity: Identity) -> str:
    """The trial of token and TPM; of a passphrase it would prove the library, and cost what a try costs."""
    if place.kind is RootKind.PASSPHRASE:
        return identity.recipient.text
    root = replace(place, credentials=None).root(keys_directory)
    opened = root.open(secret)
    if opened.text != identity.text:
        raise RootDamagedError(path=root.path, why="it opens to another key than was kept")
    return opened.recipient.text


def _write_process_keys(keys_directory: Path, log_key: SigningKey) -> list[SigningKey]:
    keys = [SigningKey.generate(name) for name in PERMITS]
    for name, key in (("log", log_key), *((key.name, key) for key in keys)):
        create_once(keys_directory / f"{name}.key", f"{key.private_text}\n".encode(), SECRET_MODE)
    return keys


def _write_first_entries(
    vault: Vault, log_key: SigningKey, keys: list[SigningKey], reading: dict[str, object]
) -> None:
    """Genesis, then what each process may submit, then the keys of the first bucket: public from the start."""
    facts = {"format": 1, "vault": vault.id, "key": log_key.vkey, **reading}
    entries = [Leaf(id=new_id(), type="genesis", time=vault.made_at, by="vaultd", facts=facts)]
    entries += [
        _entry("key", {"name": key.name, "vkey": key.vkey, "permits": PERMITS[key.name]}) for key in keys
    ]
    entries.append(_entry("bucket", commitment(vault, FACTS_BUCKET).facts()))
    writer = LogWriter(vault, log_key)
    try:
        writer.append([(leaf, Private()) for leaf in entries])
    finally:
        writer.close()


def _entry(entry_type: str, facts: dict[str, object]) -> Leaf:
    return Leaf(id=new_id(), type=entry_type, time=stamp(utc_now()), by="vaultd", facts=facts)
