"""The root identity wrapped by a PKCS#11 token: `root.pkcs11` beside a key that cannot leave the token.

`keep` makes an AES-256 key in the token (sensitive, not extractable) and encrypts the identity with it (AES-GCM); the
file says which token and key. Taking the token away is enough to lock the vault; destroying the key makes the file
worthless, and with it every copy of the file in a backup.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pkcs11
from pkcs11 import exceptions

from core.canonical import CanonicalError, decode, encode
from core.durable import create_once
from core.settings import RootKind
from vault.formats.age import Identity
from vault.store.root import (
    SECRET_MODE,
    PinLockedError,
    RootDamagedError,
    RootError,
    RootMissingError,
    WrongPinError,
    parse_root,
    read_root,
)

TOKEN_FILE = "root.pkcs11"  # noqa: S105
KEY_LABEL = "sealdock-root"
_BITS = 256
_NONCE_SIZE = 12  # NIST SP 800-38D section 8.2
_TAG_BITS = 128
_ID_SIZE = 8  # bytes; tells the keys of two rotations apart
_KEYS = {"v", "kind", "token", "key", "nonce", "sealed"}
_DAMAGE = (exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange, exceptions.GeneralError)


class NoModuleError(RootError):
    """The token's driver is not there, or is no PKCS#11 module."""

    code = "vault.root_module"
    sentence = (
        "The PKCS#11 module {module} cannot be loaded ({why}). Nothing was unlocked; check `keyd.pkcs11_module` in the "
        "settings and that the token's driver is installed, or use the recovery key."
    )


class TokenError(RootError):
    """The token is not there, or refuses."""

    code = "vault.root_token"
    sentence = (
        "The token {token} cannot be used ({why}). Nothing was unlocked and sealing goes on; check that it is plugged "
        "in and that `keyd.pkcs11_token` names it, or use the recovery key."
    )


class TokenRoot:
    """A root that needs a token and its PIN."""

    kind = RootKind.PKCS11

    def __init__(self, directory: Path, module: Path | None, token: str | None) -> None:
        self.path = directory / TOKEN_FILE
        self._module, self._token = module, token

    def keep(self, identity: Identity, secret: bytes) -> None:
        """As Root: makes the key in the token, and the file once the identity came back through it."""
        key_id, nonce = token_bytes(_ID_SIZE), token_bytes(_NONCE_SIZE)
        with self._session(secret, writing=True) as session:
            key = session.generate_key(
                pkcs11.KeyType.AES, _BITS, id=key_id, label=KEY_LABEL, store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT, template=_LOCKED_IN,
            )  # fmt: skip
            sealed = key.encrypt(identity.text.encode(), **_gcm(nonce))
            if key.decrypt(sealed, **_gcm(nonce)) != identity.text.encode():
                raise TokenError(token=self._token, why="what it encrypted does not come back")
        facts = {
            "v": 1, "kind": "pkcs11", "token": self._token, "key": key_id.hex(),
            "nonce": b64encode(nonce).decode(), "sealed": b64encode(sealed).decode(),
        }  # fmt: skip
        create_once(self.path, encode(facts), SECRET_MODE)

    def open(self, secret: bytes) -> Identity:
        """As Root. Raises WrongPinError, PinLockedError, TokenError, NoModuleError or RootDamagedError."""
        key_id, nonce, sealed = self._read()
        with self._session(secret) as session:
            try:
                text = _key(session, key_id).decrypt(sealed, **_gcm(nonce)).decode("ascii", "replace")
            except exceptions.NoSuchKey as cause:
                raise TokenError(token=self._token, why="the root's key is not in it") from cause
            except _DAMAGE as cause:
                raise RootDamagedError(path=self.path, why="the token does not decrypt it") from cause
        return parse_root(self.path, text)

    def destroy(self) -> None:
        """As Root, for the file alone: the key in the token goes with `destroy_key`, which needs the PIN."""
        self.path.unlink(missing_ok=True)

    def destroy_key(self, secret: bytes) -> None:
        """Destroy the key in the token, so that no copy of the file opens again."""
        try:
            key_id, _, _ = self._read()
        except RootMissingError:
            return
        with self._session(secret, writing=True) as session:
            try:
                _key(session, key_id).destroy()
            except exceptions.NoSuchKey:
                return

    def _read(self) -> tuple[bytes, bytes, bytes]:
        try:
            facts = decode(read_root(self.path))
            if set(facts) != _KEYS or facts["v"] != 1:
                raise RootDamagedError(path=self.path, why="its facts are not those of a wrapped root")
            nonce, sealed = (b64decode(facts[name], validate=True) for name in ("nonce", "sealed"))
            return bytes.fromhex(facts["key"]), nonce, sealed
        except (CanonicalError, ValueError, TypeError) as cause:
            raise RootDamagedError(path=self.path, why="it cannot be read") from cause

    @contextmanager
    def _session(self, pin: bytes, *, writing: bool = False) -> Iterator[Any]:
        """A session with the token; whatever it refuses becomes a RootError."""
        place = f"the token {self._token}"
        try:
            token = _module(self._module).get_token(token_label=self._token)
            with token.open(rw=writing, user_pin=pin.decode(errors="replace")) as session:
                yield session
        except (exceptions.PinIncorrect, exceptions.PinLenRange, exceptions.PinInvalid) as cause:
            raise WrongPinError(place=place) from cause
        except exceptions.PinLocked as cause:
            raise PinLockedError(place=place) from cause
        except (exceptions.NoSuchToken, exceptions.TokenNotPresent, exceptions.DeviceRemoved) as cause:
            raise TokenError(token=self._token, why="it is not plugged in") from cause
        except exceptions.MultipleTokensReturned as cause:
            raise TokenError(token=self._token, why="two tokens have that label") from cause
        except exceptions.PKCS11Error as cause:
            raise TokenError(token=self._token, why=_why(cause)) from cause


_LOCKED_IN = {
    pkcs11.Attribute.SENSITIVE: True,
    pkcs11.Attribute.EXTRACTABLE: False,
    pkcs11.Attribute.PRIVATE: True,
    pkcs11.Attribute.MODIFIABLE: False,
}


def _module(path: Path | None) -> Any:
    if path is None:
        raise NoModuleError(module="(none)", why="the settings name none")
    try:
        return pkcs11.lib(str(path))
    except (exceptions.PKCS11Error, OSError, RuntimeError) as cause:
        raise NoModuleError(module=path, why=_why(cause)) from cause


def _key(session: Any, key_id: bytes) -> Any:
    return session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=key_id)


def _gcm(nonce: bytes) -> dict[str, object]:
    return {
        "mechanism": pkcs11.Mechanism.AES_GCM,
        "mechanism_param": pkcs11.GCMParams(nonce, None, _TAG_BITS),
    }


def _why(cause: BaseException) -> str:
    return str(cause) or type(cause).__name__
