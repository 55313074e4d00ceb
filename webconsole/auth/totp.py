"""The second factor: a code from an authenticator (RFC 6238, SHA-1, 6 digits, 30 s: what every app can do).

A code is accepted for its own step and the one before and after (clocks differ), and each step once: a code
that was seen over somebody's shoulder opens nothing. The secret is kept under a key derived from the
console's process key, so that a copy of the database alone yields no codes.
"""

from __future__ import annotations

import hmac
import os
from base64 import b32encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from core.clock import utc_now
from core.errors import SealdockError
from webconsole.auth.account import Account

SECRET_BYTES = 20  # RFC 4226 section 4, R6: as long as the HMAC's output
STEP_S = 30
DIGITS = 6
NONCE_BYTES = 12
INFO = b"sealdock console second factor v1"


class FactorLostError(SealdockError):
    """The stored secret cannot be read with this console's key."""

    code = "webconsole.factor_lost"
    sentence = (
        "The second factor of this account belongs to another installation. Sign-in is refused; "
        "ask the administrator to remove the factor and enrol it again."
    )


def enrol(account: Account, process_key: str) -> str:
    """Give the account a fresh secret that waits for its first right code; returns it in base32."""
    secret, nonce = os.urandom(SECRET_BYTES), os.urandom(NONCE_BYTES)
    account.totp_secret = nonce + _box(process_key).encrypt(nonce, secret, account.id.encode())
    account.totp_confirmed, account.totp_step = False, 0
    return b32encode(secret).decode()


def provisioning_uri(account: Account, process_key: str, issuer: str) -> str:
    """The `otpauth:` address of the QR code."""
    return _generator(_secret(account, process_key)).get_provisioning_uri(account.username, issuer)


def secret_text(account: Account, process_key: str) -> str:
    """The secret in base32, for an authenticator without a camera."""
    return b32encode(_secret(account, process_key)).decode()


def accept(account: Account, process_key: str, code: str) -> bool:
    """Whether the code is right and new; a step that was used is used up."""
    if account.totp_secret is None:
        return False
    generator, now = _generator(_secret(account, process_key)), int(utc_now().timestamp()) // STEP_S
    typed = "".join(code.split()).encode(errors="replace")
    for step in (now - 1, now, now + 1):
        right = hmac.compare_digest(generator.generate(step * STEP_S), typed)
        if right and step > account.totp_step:
            account.totp_step = step
            return True
    return False


def _secret(account: Account, process_key: str) -> bytes:
    sealed = account.totp_secret or b""
    try:
        return _box(process_key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], account.id.encode())
    except (InvalidTag, ValueError) as cause:
        raise FactorLostError from cause


def _generator(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_S)  # noqa: S303  # RFC 6238's default; HMAC-SHA-1 is not broken


def _box(process_key: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=32, salt=None, info=INFO).derive(process_key.encode()))
