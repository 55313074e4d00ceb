"""Passkeys: a WebAuthn assertion over a statement's digest, checked from its bytes alone (Web Authentication level 2).

Numbered as section 7.2 does it, as far as a verifier without a session can:
  11. the type is webauthn.get; 12. the challenge is the digest; 13. the origin is the relying party's own;
  15. the hash of the relying party's id; 16, 17. a person was present and was verified; 20. the signature.
Only ES256 and EdDSA are taken (RFC 9053): what passkeys use, and nothing that could be chosen to be weak.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2 import cbor
from fido2.cose import CoseKey

from core.errors import Exit
from vault.error import VaultError

_HASH = 32  # bytes: rpIdHash at the start of authenticator data
_HEAD = 37  # bytes: rpIdHash, flags, counter
_PRESENT, _VERIFIED = 0x01, 0x04  # flags UP and UV
_ALGORITHMS = (-7, -8)  # COSE: ES256, EdDSA
_LIMIT = 4096  # bytes of client data; browsers write about 200


class PasskeyError(VaultError):
    """An assertion that proves nothing."""

    code = "vault.assertion"
    sentence = (
        "The passkey's answer does not approve this ({why}). Nothing was changed; sign again with the passkey that was "
        "enrolled."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Assertion:
    """What an authenticator gave back."""

    authenticator_data: bytes
    client_data: bytes
    signature: bytes

    def check(self, cose_key: bytes, rp_id: str, digest: bytes) -> None:
        """Raises PasskeyError unless this key, asked by this relying party, signed this digest."""
        self._check_client(rp_id, digest)
        self._check_authenticator(rp_id)
        signed = self.authenticator_data + sha256(self.client_data).digest()
        try:
            public_key(cose_key).verify(signed, self.signature)  # 20
        except (InvalidSignature, UnsupportedAlgorithm, ValueError) as cause:
            raise PasskeyError(why="the signature is false") from cause

    def _check_client(self, rp_id: str, digest: bytes) -> None:
        try:
            said = json.loads(self.client_data) if len(self.client_data) <= _LIMIT else None
        except (ValueError, RecursionError) as cause:
            raise PasskeyError(why="its client data is not JSON") from cause
        if not isinstance(said, dict) or said.get("type") != "webauthn.get":  # 11
            raise PasskeyError(why="it is not an answer to a request to sign")
        if said.get("challenge") != urlsafe_b64encode(digest).decode().rstrip("="):  # 12
            raise PasskeyError(why="it answers another request")
        if not _is_of(said.get("origin"), rp_id) or said.get("crossOrigin", False) is not False:  # 13
            raise PasskeyError(why="it was asked for by another site")

    def _check_authenticator(self, rp_id: str) -> None:
        raw = self.authenticator_data
        if len(raw) < _HEAD or raw[:_HASH] != sha256(rp_id.encode()).digest():  # 15
            raise PasskeyError(why="it was made for another site")
        if raw[_HASH] & (_PRESENT | _VERIFIED) != _PRESENT | _VERIFIED:  # 16, 17
            raise PasskeyError(why="nobody was present and verified")


def public_key(raw: bytes) -> CoseKey:
    """The COSE key in `raw`. Raises PasskeyError for anything but an ES256 or EdDSA key."""
    try:
        value = cbor.decode(raw)
        if not isinstance(value, dict) or value.get(3) not in _ALGORITHMS:
            raise PasskeyError(why="the key is of a kind that is not taken")
        key = CoseKey.parse(value)
        key.verify(b"", b"")
    except InvalidSignature:
        return key
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        UnsupportedAlgorithm,
        RecursionError,
    ) as cause:
        raise PasskeyError(why="the key is malformed") from cause
    raise PasskeyError(why="the key takes any signature")


def _is_of(origin: object, rp_id: str) -> bool:
    """Whether a page of the relying party asked; its host is the id or below it."""
    try:
        host = urlsplit(origin).hostname if isinstance(origin, str) else None
    except ValueError:
        return False
    return host is not None and (host == rp_id or host.endswith(f".{rp_id}"))
