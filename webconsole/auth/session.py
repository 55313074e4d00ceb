"""Sessions on the server: a row a session, found by the hash of a random token.

The database holds only the hash, so that a copy of it opens no session. A session ends after 30 minutes
without a request, after 12 hours in any case (one shift), at sign-out, when the account is disabled, and it
is replaced by a new one at every step of signing in: a token that existed before never gains anything.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy import ForeignKey, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.access.permission import Role
from core.clock import utc_now
from core.db import Base, Database, UtcDateTime
from webconsole.auth.account import Account

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
AWAITING_FACTOR = timedelta(minutes=5)
STEP_UP = timedelta(minutes=10)
SEEN_EVERY = timedelta(minutes=1)  # `seen_at` is written at most once a minute, not with every request
TOKEN_BYTES = 32
TOKEN_LENGTH = 43  # characters of 32 bytes in base64url


class WebSession(Base):
    """One browser that somebody signed in from."""

    __tablename__ = "web_session"

    id: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the token
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id"), index=True)
    awaits_factor: Mapped[bool]
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    step_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    address: Mapped[str]
    notice: Mapped[str] = mapped_column(default="")


@dataclass(frozen=True)
class SignedIn:
    """The account and session of one request, as they were when it came in."""

    id: str
    username: str
    name: str
    roles: frozenset[Role]
    locale: str
    officer_id: str | None
    session_id: str
    awaits_factor: bool
    has_factor: bool
    step_up_at: datetime | None
    has_notice: bool

    @property
    def is_stepped_up(self) -> bool:
        """Whether the password was typed within the last ten minutes."""
        return self.step_up_at is not None and utc_now() - self.step_up_at < STEP_UP


def begin(session: Session, account: Account, address: str, *, awaits_factor: bool = False) -> str:
    """Start a session and return its token, which is never stored."""
    token, now = token_urlsafe(TOKEN_BYTES), utc_now()
    session.execute(delete(WebSession).where(WebSession.expires_at < now))
    session.add(
        WebSession(
            id=_hash(token), account_id=account.id, awaits_factor=awaits_factor, made_at=now, seen_at=now,
            expires_at=now + (AWAITING_FACTOR if awaits_factor else ABSOLUTE), address=address,
            step_up_at=None if awaits_factor else now,
        )
    )  # fmt: skip
    return token


def end(session: Session, session_id: str) -> None:
    """Forget a session; its token opens nothing from now on."""
    session.execute(delete(WebSession).where(WebSession.id == session_id))


def end_all(session: Session, account_id: str, keep: str = "") -> None:
    """Forget every session of an account but `keep`."""
    session.execute(delete(WebSession).where(WebSession.account_id == account_id, WebSession.id != keep))


def step_up(session: Session, session_id: str) -> None:
    """The password was typed again just now."""
    session.execute(update(WebSession).where(WebSession.id == session_id).values(step_up_at=utc_now()))


def find(db: Database, token: str | None, *, touch: bool = True) -> SignedIn | None:
    """Whose living session the token opens, None for everything else; `touch` counts as a sign of life."""
    if token is None or len(token) != TOKEN_LENGTH:
        return None
    now = utc_now()
    with db.reading() as session:
        row = session.execute(
            select(WebSession, Account)
            .join(Account, Account.id == WebSession.account_id)
            .where(
                WebSession.id == _hash(token), WebSession.expires_at > now, WebSession.seen_at > now - IDLE
            )
            .where(Account.disabled.is_(False))
        ).one_or_none()
    if row is None:
        return None
    web_session, account = row
    if touch and now - web_session.seen_at > SEEN_EVERY:
        _touch(db, web_session.id, now)
    return _signed_in(web_session, account)


def csrf_token(token: str) -> str:
    """The synchroniser token of a session or visit: derived from its secret, useless to derive it back."""
    return hmac.digest(token.encode(errors="replace"), b"sealdock csrf token", "sha256").hex()


def _touch(db: Database, session_id: str, now: datetime) -> None:
    with db.writing() as session:
        session.execute(update(WebSession).where(WebSession.id == session_id).values(seen_at=now))


def _signed_in(web_session: WebSession, account: Account) -> SignedIn:
    return SignedIn(
        id=account.id, username=account.username, name=account.name, roles=account.role_set,
        locale=account.locale, officer_id=account.officer_id, session_id=web_session.id,
        awaits_factor=web_session.awaits_factor, has_factor=account.totp_confirmed,
        step_up_at=web_session.step_up_at, has_notice=bool(web_session.notice),
    )  # fmt: skip


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
