"""The root identity at rest: one small protocol, and four ways of keeping it.

Whoever has the root identity can open everything sealed here, so it never lies on a disk in the clear: it is sealed by
a passphrase (`root.age`, the format of `age -p`), handed over by systemd as a credential, wrapped by a key that cannot
leave a PKCS#11 token (vault.store.token_root), or sealed in a TPM 2 (vault.store.tpm_root). What a kind needs from a
person is its `secret`: a passphrase, a PIN, or nothing.

Invariant: `keep` creates and never replaces, and `open` gives the very identity that was kept or raises RootError.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from core.durable import create_once
from core.errors import Exit
from core.settings import RootKind
from vault.error import AgeError, VaultError
from vault.formats import passphrase
from vault.formats.age import Identity, NoMatchError

ROOT_FILE = "root.age"
CREDENTIAL_FILE = "root.credential"
IDENTITY_CREDENTIAL = "root-identity"  # names that LoadCredential= gives (systemd.exec)
PASSPHRASE_CREDENTIAL = "root-passphrase"  # noqa: S105
PIN_CREDENTIAL = "root-pin"
SECRET_MODE = 0o400
LEAST_SECRET = {  # characters
    RootKind.PASSPHRASE: 8,  # NIST SP 800-63B section 5.1.1.1, memorised secrets
    RootKind.CREDENTIAL: 0,
    RootKind.PKCS11: 6,  # section 5.1.9.1: the token counts failures, so fewer are enough
    RootKind.TPM2: 6,
}


class RootError(VaultError):
    """The root identity cannot be opened or kept."""

    code = "vault.root"
    sentence = (
        "The root key cannot be used ({why}). Sealing goes on without it and the evidence is unharmed; nothing can be "
        "watched until it is opened, here or with the recovery key."
    )


class WrongPassphraseError(RootError):
    """The root cannot be opened with what was typed."""

    code = "vault.passphrase"
    sentence = (
        "The passphrase does not open {path}. Nothing was unlocked; try again, or use the recovery key."
    )
    exit_code = Exit.NO


class WrongPinError(RootError):
    """A PIN that the token or the TPM does not take."""

    code = "vault.root_pin"
    sentence = (
        "The PIN is not the one of {place}. Nothing was unlocked. It counts wrong tries and locks itself after a few: "
        "look the PIN up before trying again, or use the recovery key."
    )
    exit_code = Exit.NO


class PinLockedError(RootError):
    """Too many wrong tries."""

    code = "vault.root_locked"
    sentence = (
        "{place} has locked itself after too many wrong PINs. The evidence is unharmed. Unlock it with its own program "
        "(the security officer's PIN of a token, the lockout authority of a TPM), or use the recovery key."
    )


class RootMissingError(RootError):
    """No sealed root where one was expected."""

    code = "vault.root_missing"
    sentence = (
        "There is no root key at {path}. Nothing was unlocked; check `keyd.root` and `keys` in the settings, or use "
        "the recovery key. Sealing needs no root key and goes on."
    )


class RootDamagedError(RootError):
    """A sealed root that is not what it should be."""

    code = "vault.root_damaged"
    sentence = (
        "The root key at {path} is damaged ({why}). The evidence is unharmed; restore the file from a copy, or make a "
        "new root with `sealdock key rotate root --with-recovery`."
    )


class WeakPassphraseError(VaultError):
    """A passphrase or PIN that protects nothing."""

    code = "vault.weak_passphrase"
    sentence = "The passphrase is too short: {least} characters are the least. Nothing was made."
    exit_code = Exit.WRONG_USE


class Root(Protocol):
    """One way of keeping the root identity."""

    @property
    def kind(self) -> RootKind:
        """Which."""

    @property
    def path(self) -> Path:
        """The file that it leaves in the keys directory."""

    def keep(self, identity: Identity, secret: bytes) -> None:
        """Keep a new root; durable on return. Raises RootError, AlreadyExistsError or OSError."""

    def open(self, secret: bytes) -> Identity:
        """Give it back. Raises RootError or OSError."""

    def destroy(self) -> None:
        """Make it impossible to open, here and for ever; not there is well. Raises RootError or OSError."""


class PassphraseRoot:
    """`root.age`: sealed by a passphrase, as `age -p` does; `age -d` opens it. A try costs a second (scrypt)."""

    kind = RootKind.PASSPHRASE

    def __init__(self, directory: Path) -> None:
        self.path = directory / ROOT_FILE

    def keep(self, identity: Identity, secret: bytes) -> None:
        """As Root."""
        sealed = passphrase.seal(secret, f"{identity.text}\n".encode())
        create_once(self.path, sealed, SECRET_MODE)

    def open(self, secret: bytes) -> Identity:
        """As Root. Raises WrongPassphraseError."""
        sealed = read_root(self.path)
        try:
            text = passphrase.unseal(secret, sealed).decode("ascii", "replace")
        except NoMatchError as cause:
            raise WrongPassphraseError(path=self.path) from cause
        except AgeError as cause:
            raise RootDamagedError(path=self.path, why=str(cause.parameters.get("why", cause))) from cause
        return parse_root(self.path, text)

    def destroy(self) -> None:
        """As Root; blocks of the disk may keep the sealed file, which is worth what its passphrase is."""
        self.path.unlink(missing_ok=True)


class CredentialRoot:
    """The identity itself, or the passphrase of `root.age`, handed over by systemd at each start.

    `credentials` is what systemd calls $CREDENTIALS_DIRECTORY. Without one, the file that `keep` wrote is read: it is
    in the clear until somebody has put it into the credential store (`systemd-creds encrypt`) and shredded it.
    """

    kind = RootKind.CREDENTIAL

    def __init__(self, directory: Path, credentials: Path | None) -> None:
        self.path = directory / CREDENTIAL_FILE
        self._directory, self._credentials = directory, credentials

    def keep(self, identity: Identity, secret: bytes) -> None:  # noqa: ARG002  needs none
        """As Root."""
        create_once(self.path, f"{identity.text}\n".encode(), SECRET_MODE)

    def open(self, secret: bytes) -> Identity:  # noqa: ARG002
        """As Root."""
        if self._credentials is None:
            return parse_root(self.path, read_root(self.path).decode("ascii", "replace"))
        passphrase = self._credentials / PASSPHRASE_CREDENTIAL
        identity = self._credentials / IDENTITY_CREDENTIAL
        if not identity.exists() and passphrase.exists():
            return PassphraseRoot(self._directory).open(passphrase.read_bytes().removesuffix(b"\n"))
        return parse_root(identity, read_root(identity).decode("ascii", "replace"))

    def destroy(self) -> None:
        """As Root, for the file; the credential store is the operator's (docs/operations/keys.md)."""
        self.path.unlink(missing_ok=True)


def check_secret(kind: RootKind, secret: bytes) -> None:
    """Raises WeakPassphraseError for a passphrase or PIN that is too short for its kind."""
    if len(secret.decode(errors="replace")) < LEAST_SECRET[kind]:
        raise WeakPassphraseError(least=LEAST_SECRET[kind])


def handed_over(kind: RootKind, credentials: Path | None) -> bytes | None:
    """The secret that systemd handed over for this kind of root; None when a person has to type it."""
    names = {
        RootKind.PASSPHRASE: PASSPHRASE_CREDENTIAL,
        RootKind.PKCS11: PIN_CREDENTIAL,
        RootKind.TPM2: PIN_CREDENTIAL,
    }
    if kind is RootKind.CREDENTIAL:
        return b""
    path = None if credentials is None else credentials / names[kind]
    return path.read_bytes().removesuffix(b"\n") if path is not None and path.is_file() else None


def read_root(path: Path) -> bytes:
    """A sealed root's file. Raises RootMissingError or OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError as cause:
        raise RootMissingError(path=path) from cause


def parse_root(path: Path, text: str) -> Identity:
    """The identity in an opened root. Raises RootDamagedError, and never shows what it read."""
    try:
        return Identity.parse(text.strip())
    except VaultError as cause:
        raise RootDamagedError(path=path, why="it opens, and holds no age identity") from cause
