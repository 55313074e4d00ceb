"""The throttle before the password: guesses cost time, and nobody locks somebody else out.

Invariant: a try is counted before it is checked, in one writing transaction, and taken back when it was right;
however many come at once, no more than the free ones reach the check. Counted in the database, so that a
restart forgives nothing. After five wrong tries for a username from one address (twenty from the address for any
names) every further try waits, twice as long each time, a quarter of an hour at most. The username alone is
counted loosely, against guessing from many addresses: a hundred tries, and then a minute at most, because
strangers can make these. Names that do not exist are counted like those that do, and are kept as a digest,
because people type passwords into the wrong field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.digest import sha256_hex
from core.errors import Exit, SealdockError
from webconsole.auth.account import normal_username

FREE_TRIES = {"pair": 5, "address": 20, "username": 100}
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = {
    "pair": timedelta(minutes=15), "address": timedelta(minutes=15), "username": timedelta(minutes=1),
}  # fmt: skip
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
    """Tries that were not right for one username, from one address, or for the one from the other."""

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


def keys_for(username: str, address: str) -> dict[str, str]:
    """The counters that a try touches: key -> kind; always in the same order, so that no two tries deadlock."""
    named = sha256_hex(normal_username(username).encode(errors="replace"))
    return {
        f"address:{address}": "address",
        f"pair:{named}:{address}": "pair",
        f"username:{named}": "username",
    }


def admit(session: Session, keys: Mapping[str, str]) -> bool:
    """Count a try before it is checked; True when one of the counters waits from now on.

    Call it in a writing transaction of its own. Raises ThrottledError, and counts nothing, while one waits.
    """
    now = utc_now()
    session.execute(delete(Throttle).where(Throttle.last_at < now - FORGET_AFTER))
    rows = [_counted(session, key, kind, now) for key, kind in keys.items()]
    until = max((row.blocked_until for row in rows if row.blocked_until is not None), default=now)
    if until > now:
        raise ThrottledError(seconds=math.ceil((until - now).total_seconds()))
    for row in rows:
        wait = _wait(row.kind, row.failures)
        row.blocked_until = now + wait if wait else None
    return any(row.blocked_until is not None for row in rows)


def take_back(session: Session, keys: Mapping[str, str]) -> None:
    """The try was right: it is not counted, and nobody waits because of it."""
    mine = Throttle.key.in_(list(keys))
    session.execute(update(Throttle).where(mine).values(failures=Throttle.failures - 1, blocked_until=None))
    session.execute(delete(Throttle).where(mine, Throttle.failures <= 0))


def forgive(session: Session, keys: Mapping[str, str]) -> None:
    """The person is who they say: the username starts afresh, from this address too; the address does not."""
    take_back(session, keys)
    named = [key for key, kind in keys.items() if kind != "address"]
    session.execute(delete(Throttle).where(Throttle.key.in_(named)))


def _counted(session: Session, key: str, kind: str, now: datetime) -> Throttle:
    """The counter with this try in it; its row is ours until the transaction ends."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    fresh = insert(Throttle).values(key=key, kind=kind, failures=1, last_at=now)
    counted = {"failures": Throttle.failures + 1, "last_at": now}
    session.execute(fresh.on_conflict_do_update(index_elements=["key"], set_=counted))
    return session.get_one(Throttle, key, populate_existing=True)


def _wait(kind: str, failures: int) -> timedelta:
    over = failures - FREE_TRIES[kind]
    return timedelta() if over < 0 else min(FIRST_WAIT * 2 ** min(over, 10), LONGEST_WAIT[kind])
