"""An officer before the dock: who stands there, for seconds, without an account.

A badge or a PIN gives the page a pass: the officer, how they were recognised and until when, under a MAC whose key
comes from the console's process key. The page keeps it in memory alone, so that a reload, a crash or a walk away
ends it; nothing is stored on the server, and no cookie carries it to another page. A pass opens what the kiosk
shows of an officer's own sessions and nothing else: no account, no recording's content.

Invariant: every pass ends IDLE_S (and the slack of a slow network) after the last touch, by the server's clock.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.clock import utc_now
from core.errors import Exit, SealdockError

IDLE_S = 20  # the page signs off by itself
SLACK_S = 10  # what a slow answer may take before the pass is worth nothing
PAPER_S = 60  # a link to a receipt that is about to be printed
INFO = b"sealdock kiosk pass v1"
LONGEST = 1024


class PassEndedError(SealdockError):
    """Nobody is signed on at the kiosk, or not any more."""

    code = "webconsole.pass_ended"
    sentence = "You were signed off. Nothing was changed; show your badge or type number and PIN again."
    exit_code = Exit.NO


@dataclass(frozen=True)
class Pass:
    """Who stands there; `means` is how they were recognised."""

    officer_id: str
    means: str


def give_pass(process_key: str, officer: Pass) -> str:
    """A pass from now on for as long as somebody may stand there without touching anything."""
    return seal(process_key, "pass", [officer.officer_id, officer.means], IDLE_S + SLACK_S)


def read_pass(process_key: str, token: str) -> Pass:
    """Who the pass names. Raises PassEndedError."""
    value = unseal(process_key, "pass", token)
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)):  # noqa: PLR2004
        raise PassEndedError
    return Pass(*value)


def seal(process_key: str, purpose: str, value: object, seconds: int) -> str:
    """`value` for `purpose`, good for that long, in letters that fit into an address."""
    until = int(utc_now().timestamp()) + seconds
    payload = json.dumps([purpose, until, value], separators=(",", ":")).encode()
    return _text(payload) + "." + _text(_mac(process_key, payload))


def unseal(process_key: str, purpose: str, token: str) -> object:
    """What `seal` was given. Raises PassEndedError for anything else, and when it is over."""
    written, _, mac = token[:LONGEST].partition(".")
    try:
        payload = _bytes(written)
        if not hmac.compare_digest(_mac(process_key, payload), _bytes(mac)):
            raise PassEndedError
        kind, until, value = json.loads(payload)
    except (ValueError, binascii.Error, UnicodeError) as cause:
        raise PassEndedError from cause
    if kind != purpose or until < utc_now().timestamp():
        raise PassEndedError
    return value


def _mac(process_key: str, payload: bytes) -> bytes:
    key = HKDF(SHA256(), length=32, salt=None, info=INFO).derive(process_key.encode())
    return hmac.digest(key, payload, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
