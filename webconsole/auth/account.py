"""Accounts: who may sign in, and as what.

Name, roles and officer are facts on the log (`account` entries, made by the command line alone) and come back
with a reindex. Password hash and second factor live in the database alone: after the database is lost every
account waits for `sealdock user password`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import JSON, column, delete, select, table
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.access.permission import Role
from core.clock import new_id, parse_stamp
from core.db import Base, UtcDateTime
from core.errors import Exit, SealdockError
from vault.log.outbox import AppliedEntry, Projections, Submitter
from vault.log.submission import Draft
from webconsole.auth import password as passwords

CLOSING, OPENING = frozenset({"disabled"}), frozenset({"created", "granted"})  # events of `account` entries
USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")  # typed on every keyboard, safe in every log


class UsernameError(SealdockError):
    """The username cannot be used."""

    code = "webconsole.username"
    sentence = (
        "'{username}' cannot be a username: use 1 to 64 of the letters a-z, digits, dot, hyphen, underscore."
    )
    exit_code = Exit.WRONG_USE


class UsernameTakenError(SealdockError):
    """There is such an account already."""

    code = "webconsole.username_taken"
    sentence = "There is an account '{username}' already. Nothing was changed."
    exit_code = Exit.WRONG_USE


class NoSuchAccountError(SealdockError):
    """There is no such account."""

    code = "webconsole.no_such_account"
    sentence = "There is no account '{username}'. `sealdock user list` shows those there are."
    exit_code = Exit.WRONG_USE


class Account(Base):
    """One person's way in; `password_hash` is empty until a password was set on this machine."""

    __tablename__ = "account"

    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(JSON)
    officer_id: Mapped[str | None]
    locale: Mapped[str] = mapped_column(default="")
    disabled: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str] = mapped_column(default="")
    totp_secret: Mapped[bytes | None]
    totp_confirmed: Mapped[bool] = mapped_column(default=False)
    totp_step: Mapped[int] = mapped_column(default=0)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def role_set(self) -> frozenset[Role]:
        """The roles; a role this release does not know gives nothing."""
        known = {role.value for role in Role}
        return frozenset(Role(role) for role in self.roles if role in known)


def normal_username(typed: str) -> str:
    """The spelling that is stored and compared."""
    return unicodedata.normalize("NFKC", typed).strip().casefold()


def find_account(session: Session, username: str) -> Account | None:
    """The account with this username in any spelling, None when there is none."""
    return session.scalar(select(Account).where(Account.username == normal_username(username)))


def get_account(session: Session, username: str) -> Account:
    """The account with this username. Raises NoSuchAccountError."""
    account = find_account(session, username)
    if account is None:
        raise NoSuchAccountError(username=username)
    return account


def list_accounts(session: Session) -> list[Account]:
    """Every account, by username."""
    return list(session.scalars(select(Account).order_by(Account.username)))


def create_account(
    session: Session,
    submitter: Submitter,
    username: str,
    name: str,
    roles: Collection[Role],
    password: str,
    officer_id: str | None = None,
) -> Account:
    """Enter a new account on the log and give it a password, in the caller's transaction.

    Raises UsernameError, UsernameTakenError, WeakPasswordError.
    """
    normal = normal_username(username)
    if not USERNAME.fullmatch(normal):
        raise UsernameError(username=username)
    if find_account(session, normal) is not None:
        raise UsernameTakenError(username=normal)
    hashed = passwords.hash_password(passwords.check_strength(password, normal))
    account_id = new_id()
    body = {"username": normal, "name": name} | ({"officer_id": officer_id} if officer_id else {})
    facts = {"event": "created", "account": account_id, "roles": sorted(role.value for role in roles)}
    submitter.submit(session, Draft(type="account", about=(account_id,), facts=facts, body=body))
    account = session.get_one(Account, account_id)
    account.password_hash = hashed
    return account


def set_password(session: Session, username: str, password: str) -> Account:
    """Give an account a new password; its sessions end. Raises NoSuchAccountError, WeakPasswordError."""
    account = get_account(session, username)
    account.password_hash = passwords.hash_password(passwords.check_strength(password, account.username))
    _end_sessions(session, account)
    return account


def disable_account(session: Session, submitter: Submitter, username: str) -> Account:
    """Enter on the log that an account has no roles any more; it cannot sign in. Raises NoSuchAccountError."""
    account = get_account(session, username)
    _enter(session, submitter, account, "disabled", [])
    _end_sessions(session, account)
    return account


def reset_factor(session: Session, submitter: Submitter, username: str) -> Account:
    """Enter on the log that the second factor was taken away, and take it away; its sessions end.

    Raises NoSuchAccountError.
    """
    account = get_account(session, username)
    _enter(session, submitter, account, "factor_reset", account.roles)
    account.totp_secret, account.totp_confirmed, account.totp_step = None, False, 0
    _end_sessions(session, account)
    return account


def _end_sessions(session: Session, account: Account) -> None:
    """Whoever is signed in with what was just taken away is signed in no more."""
    web_session = table("web_session", column("account_id"))  # its class knows this module
    session.execute(delete(web_session).where(web_session.c.account_id == account.id))


def _enter(session: Session, submitter: Submitter, account: Account, event: str, roles: list[str]) -> None:
    facts = {"event": event, "account": account.id, "roles": list(roles)}
    submitter.submit(session, Draft(type="account", about=(account.id,), facts=facts))


def register(projections: Projections) -> None:
    """Take part in the replay of the log."""
    projections.on("account", apply_account)


def apply_account(session: Session, entry: AppliedEntry) -> None:
    """Write the account as the entry tells it; never touches passwords and factors."""
    facts, fields = entry.leaf.facts, entry.fields or {}
    account = session.get(Account, facts["account"])
    if account is None:
        account = Account(
            id=facts["account"],
            username=fields.get("username", facts["account"].lower()),
            name=fields.get("name", ""),
            officer_id=fields.get("officer_id"),
            made_at=parse_stamp(entry.leaf.time),
        )
        session.add(account)
    account.roles = list(facts["roles"])
    if facts["event"] in CLOSING | OPENING:  # whatever else happens to a closed account, it stays closed
        account.disabled = facts["event"] in CLOSING
    session.flush()
