"""Signing in, step by step; what fails, fails alike.

1. The throttle counts the try before anything is checked. 2. The password is checked, at the same cost for a
name nobody has. 3. A right try is taken back; after a wrong one the person hears one sentence whatever was
wrong. 4. An account with a second factor gets a session that opens nothing but the page for the code. 5. Every
step makes a new session and forgets the old one, so that a planted token gains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from core import log
from core.errors import Exit, SealdockError
from webconsole.auth import account as accounts
from webconsole.auth import password as passwords
from webconsole.auth import session as sessions
from webconsole.auth import throttle, totp
from webconsole.auth.account import Account

if TYPE_CHECKING:
    from webconsole.context import ConsoleContext

_log = log.get(__name__)


class SignInRefusedError(SealdockError):
    """Username, password or code is wrong, or the account is closed; which of them stays unsaid."""

    code = "webconsole.sign_in_refused"
    sentence = "Username and password do not match an open account. Check both and try again."
    exit_code = Exit.NO


class WrongCodeError(SealdockError):
    """The code is wrong, too old, or was used already."""

    code = "webconsole.wrong_code"
    sentence = "This code is wrong or was used already. Wait for the next one and type that."
    exit_code = Exit.NO


class WrongPasswordError(SealdockError):
    """The password typed to confirm is wrong."""

    code = "webconsole.wrong_password"
    sentence = "This is not your password; nothing has happened yet. Type it again."
    exit_code = Exit.NO


@dataclass(frozen=True)
class Begun:
    """A session that has begun: its token and whether the second factor is still to come."""

    token: str
    awaits_factor: bool


def sign_in(
    context: ConsoleContext, username: str, password: str, address: str, old: str | None = None
) -> Begun:
    """Check name and password and begin a session; `old` is the session that ends.

    Raises ThrottledError, SignInRefusedError.
    """
    keys = throttle.keys_for(username, address)
    blocked = _admit(context, keys)  # 1
    with context.db.reading() as session:
        found = accounts.find_account(session, username)
    right = passwords.matches(password, found.password_hash if found else "")  # 2
    if not right or found is None or found.disabled:
        _log.warning("sign-in refused", address=address, blocked=blocked)
        raise SignInRefusedError  # 3
    with context.db.writing() as session:
        account = session.get_one(Account, found.id)
        if passwords.is_outdated(account.password_hash):
            account.password_hash = passwords.hash_password(password)
        (throttle.take_back if account.totp_confirmed else throttle.forgive)(session, keys)  # 3
        token = _replace(session, old, account, address, awaits_factor=account.totp_confirmed)  # 4, 5
    return Begun(token, found.totp_confirmed)


def give_code(context: ConsoleContext, waiting: sessions.SignedIn, code: str, address: str) -> Begun:
    """Finish signing in with the second factor. Raises ThrottledError, WrongCodeError."""
    keys = throttle.keys_for(waiting.username, address)
    blocked = _admit(context, keys)
    with context.db.writing() as session:
        account = session.get_one(Account, waiting.id)
        if totp.accept(account, context.signer.private_text, code):
            throttle.forgive(session, keys)
            return Begun(_replace(session, waiting.session_id, account, address, awaits_factor=False), False)
    _log.warning("sign-in refused", address=address, blocked=blocked)
    raise WrongCodeError


def confirm(context: ConsoleContext, signed_in: sessions.SignedIn, password: str, address: str) -> None:
    """Type the password again before something grave. Raises ThrottledError, WrongPasswordError."""
    keys = throttle.keys_for(signed_in.username, address)
    blocked = _admit(context, keys)
    with context.db.reading() as session:
        stored = session.get_one(Account, signed_in.id).password_hash
    if not passwords.matches(password, stored):
        _log.warning("confirmation refused", address=address, blocked=blocked)
        raise WrongPasswordError
    with context.db.writing() as session:
        throttle.forgive(session, keys)
        sessions.step_up(session, signed_in.session_id)


def _replace(
    session: Session, old: str | None, account: Account, address: str, *, awaits_factor: bool
) -> str:
    if old is not None:
        sessions.end(session, old)
    return sessions.begin(session, account, address, awaits_factor=awaits_factor)


def _admit(context: ConsoleContext, keys: dict[str, str]) -> bool:
    with context.db.writing() as session:
        return throttle.admit(session, keys)
