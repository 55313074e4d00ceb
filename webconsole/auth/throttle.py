"""The throttle before the password: guesses cost time, per username and per address.

Counted in the database, so that a restart forgives nothing. After five wrong tries in a row for a username
(twenty from one address) every further try waits, twice as long each time, a quarter of an hour at most; a
right one clears the username. Names that do not exist are counted like those that do, and are kept as a
digest, because people type passwords into the wrong field.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.digest import sha256_hex
from core.errors import Exit, SealdockError
from webconsole.auth.account import normal_username

FREE_TRIES = {"username": 5, "address": 20}
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=24)


class ThrottledError(SealdockError):
    """Too many wrong tries."""

    code = "webconsole.throttled"
    sentence = (
        "Too many wrong tries. Sign-in for this name or from this place waits {seconds} seconds; "
        "then try again, or ask the administrator for a new password."
    )
    exit_code = Exit.NO


class Throttle(Base):
    """Wrong tries for one username or from one address."""

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


def keys_for(username: str, address: str) -> dict[str, str]:
    """The two counters that a try touches: key -> kind."""
    named = normal_username(username).encode(errors="replace")
    return {"username:" + sha256_hex(named): "username", "address:" + address: "address"}


def refuse_blocked(session: Session, keys: Iterable[str]) -> None:
    """Raise ThrottledError while any of the counters waits."""
    now = utc_now()
    until = session.scalar(
        select(Throttle.blocked_until)
        .where(Throttle.key.in_(list(keys)), Throttle.blocked_until > now)
        .order_by(Throttle.blocked_until.desc())
        .limit(1)
    )
    if until is not None:
        raise ThrottledError(seconds=math.ceil((until - now).total_seconds()))


def count_failure(session: Session, keys: dict[str, str]) -> bool:
    """Count a wrong try; True when one of the counters begins or goes on to wait."""
    now, blocked = utc_now(), False
    session.execute(delete(Throttle).where(Throttle.last_at < now - FORGET_AFTER))
    for key, kind in keys.items():
        row = session.get(Throttle, key)
        if row is None:
            row = Throttle(key=key, kind=kind, failures=0, last_at=now)
            session.add(row)
        row.failures, row.last_at = row.failures + 1, now
        wait = _wait(kind, row.failures)
        if wait:
            row.blocked_until, blocked = now + wait, True
    return blocked


def forgive(session: Session, username: str) -> None:
    """The right password was typed: the username starts afresh; the address does not."""
    named = [key for key, kind in keys_for(username, "").items() if kind == "username"]
    session.execute(delete(Throttle).where(Throttle.key.in_(named)))


def _wait(kind: str, failures: int) -> timedelta:
    over = failures - FREE_TRIES[kind]
    return timedelta() if over < 0 else min(FIRST_WAIT * 2 ** min(over, 10), LONGEST_WAIT)
