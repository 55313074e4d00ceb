"""What an officer shows at the dock: a badge or a PIN, kept so that a stolen database gives neither away.

Invariants: no badge number and no PIN is written anywhere, on the log least of all, because the log is for ever
and both are short enough to be guessed from a fast digest. The log says that one was given or taken back, and
when (`officer` entries); the digests are workspace, like the passwords of accounts, and after a lost database
badges and PINs are given again.

A badge has to be found by itself, so all badges share the station's salt; a PIN is asked for with the officer's
number, so each has its own. Both are kept at the cost of the console's passwords (core.guessable): a badge number
of 32 bits costs years to find by trying, a PIN of six digits a day, which is why a PIN alone erases nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import CaseworkError, FieldError
from core import guessable
from core.clock import utc_now
from core.db import Base, UtcDateTime
from core.errors import Exit

PIN = re.compile(r"[0-9]{6,12}")
BADGE = re.compile(r"[0-9A-Z]{4,64}")  # what readers type: decimal or hexadecimal numbers, or a printed code
_BETWEEN = re.compile(r"[\s:;?%.\-]+")  # what readers put around and between the figures


class BadgeError(FieldError):
    """What came from the reader is no badge."""

    code = "casework.badge"
    sentence = (
        "This is not a badge number: it needs 4 to 64 letters or digits. Nothing was changed; hold the badge to the "
        "reader again, without touching the keyboard."
    )


class BadgeTakenError(CaseworkError):
    """The badge is somebody else's."""

    code = "casework.badge_taken"
    sentence = (
        "This badge belongs to {name} ({number}) already. Nothing was changed; take it back there first, or give "
        "another badge."
    )
    exit_code = Exit.NO


class WeakPinError(FieldError):
    """A PIN that the first guesses would find."""

    code = "casework.weak_pin"
    sentence = (
        "This PIN cannot be used: it needs 6 to 12 digits, not the officer's number, not one digit repeated and not "
        "digits in a row. Nothing was changed; choose another."
    )


class WrongPinError(CaseworkError):
    """The number and the PIN do not belong together, or there is no such officer."""

    code = "casework.wrong_pin"
    sentence = "Number and PIN do not belong together. Nothing was changed; try again, or ask a custodian."
    exit_code = Exit.NO


class OfficerCredential(Base):
    """The digests of what one officer was given. Workspace: a reindex neither empties nor fills it."""

    __tablename__ = "officer_credential"

    officer_id: Mapped[str] = mapped_column(primary_key=True)
    badge_digest: Mapped[str | None] = mapped_column(unique=True)
    pin: Mapped[str | None]  # PHC string
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class BadgeSalt(Base):
    """The station's salt for badges: one row, made with the first badge."""

    __tablename__ = "badge_salt"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    salt: Mapped[bytes]


def keep_badge(session: Session, officer_id: str, badge: str) -> None:
    """Keep the badge's digest for that officer. Raises BadgeError; whose it is already, ask `owner_of` first."""
    _row(session, officer_id).badge_digest = _digest(read_badge(badge), _salt(session, make=True))
    session.flush()


def owner_of(session: Session, badge: str) -> str | None:
    """The id of the officer who was given this badge; None for nobody's, and for what is no badge."""
    try:
        figures = read_badge(badge)
    except BadgeError:
        return None
    salt = _salt(session, make=False)
    if not salt:
        return None
    digest = _digest(figures, salt)
    return session.scalar(
        select(OfficerCredential.officer_id).where(OfficerCredential.badge_digest == digest)
    )


def keep_pin(session: Session, officer_id: str, number: str, pin: str) -> None:
    """Keep the PIN's digest for that officer. Raises WeakPinError."""
    _row(session, officer_id).pin = hash_pin(check_pin(pin, number))
    session.flush()


def pin_of(session: Session, officer_id: str) -> str:
    """The PHC string of an officer's PIN; empty for an officer without one."""
    row = session.get(OfficerCredential, officer_id)
    return (row.pin or "") if row else ""


def forget(session: Session, officer_id: str, *, badge: bool = False, pin: bool = False) -> None:
    """Let go of the digest of the badge, the PIN or both."""
    row = _row(session, officer_id)
    row.badge_digest = None if badge else row.badge_digest
    row.pin = None if pin else row.pin
    session.flush()


def read_badge(typed: str) -> str:
    """The figures of a badge as every reader gives them: upper case, nothing between. Raises BadgeError."""
    figures = _BETWEEN.sub("", typed[:200]).upper()
    if BADGE.fullmatch(figures) is None:
        raise BadgeError
    return figures


def check_pin(pin: str, number: str) -> str:
    """The PIN, when it is none of those that are tried first. Raises WeakPinError."""
    steps = {(ord(right) - ord(left)) % 10 for left, right in pairwise(pin)}
    if PIN.fullmatch(pin) is None or pin == number or steps in ({0}, {1}, {9}):
        raise WeakPinError
    return pin


def hash_pin(pin: str) -> str:
    """A PHC string with a fresh salt."""
    return guessable.phc(pin.encode())


def is_pin(pin: str, phc: str) -> bool:
    """Whether the PIN is right; an empty `phc` (nobody, or none given) costs the same and is wrong."""
    return guessable.is_it(pin[:64].encode(errors="replace"), phc)


def _row(session: Session, officer_id: str) -> OfficerCredential:
    row = session.get(OfficerCredential, officer_id) or OfficerCredential(officer_id=officer_id)
    row.changed_at = utc_now()
    session.add(row)
    return row


def _salt(session: Session, *, make: bool) -> bytes:
    row = session.get(BadgeSalt, 1)
    if row is None and make:
        row = BadgeSalt(id=1, salt=guessable.new_salt())
        session.add(row)
    return row.salt if row else b""


def _digest(figures: str, salt: bytes) -> str:
    return guessable.digest(figures.encode(), salt)
