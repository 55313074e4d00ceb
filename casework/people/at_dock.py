"""An officer at the dock: who is it (badge, PIN), and may they enforce (D15)?

The register of officers is casework.people.officer's; here are the questions the dock asks of it, and what a custodian
gives an officer to answer them with. Giving and taking are `officer` entries without any secret in them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from casework.people import badge as credential
from casework.people.badge import BadgeTakenError, WrongPinError
from casework.people.certificate import refusal
from casework.people.officer import Officer, officer_by_number
from casework.subject import UnknownSubjectError, find
from core.errors import SealdockError
from vault.log.outbox import Submitter
from vault.log.submission import Draft

__all__ = [
    "Means", "Officer", "WrongPinError", "give_badge", "give_pin", "may_enforce", "named", "officer_by_badge",
    "officer_by_pin", "take_badge", "take_pin",
]  # fmt: skip


class Means(StrEnum):
    """How it was established who somebody is."""

    BADGE = "badge"
    PIN = "pin"
    CUSTODIAN = "custodian"  # a custodian knows the person and typed the number


def may_enforce(officer: Officer, at: datetime) -> SealdockError | None:
    """Why the officer may not be handed a recorder at that moment (any aware time); None when all is well."""
    return refusal(officer, at)


def officer_by_badge(session: Session, badge: str) -> Officer | None:
    """Whose badge that is; None for nobody's. About 0.1 s of Argon2id; the caller throttles."""
    owner = credential.owner_of(session, badge)
    return session.get(Officer, owner) if owner else None


def officer_by_pin(session: Session, number: str, pin: str) -> Officer:
    """The officer of that number, when the PIN is theirs; the caller throttles per number.

    An unknown number costs what a known one costs. Raises WrongPinError.
    """
    officer = officer_by_number(session, number)
    is_right = credential.is_pin(pin, credential.pin_of(session, officer.id) if officer else "")
    if officer is None or not is_right:
        raise WrongPinError
    return officer


def named(session: Session, number: str) -> Officer:
    """The officer of that number. Raises UnknownSubjectError."""
    officer = officer_by_number(session, number.strip())
    if officer is None:
        raise UnknownSubjectError(what="officer", id=number[:40])
    return officer


def give_badge(
    session: Session, submitter: Submitter, actor: str | None, officer_id: str, badge: str
) -> Officer:
    """Give an officer a badge in place of any earlier one. Raises BadgeError, BadgeTakenError."""
    officer = find(session, Officer, officer_id)
    credential.read_badge(badge)
    owner = officer_by_badge(session, badge)
    if owner is not None and owner.id != officer_id:
        raise BadgeTakenError(name=owner.name, number=owner.number)
    credential.keep_badge(session, officer_id, badge)
    return _say(session, submitter, actor, officer, "badge_given")


def take_badge(session: Session, submitter: Submitter, actor: str | None, officer_id: str) -> Officer:
    """Take the badge back: nobody is let in with it any more."""
    officer = find(session, Officer, officer_id)
    credential.forget(session, officer_id, badge=True)
    return _say(session, submitter, actor, officer, "badge_taken")


def give_pin(session: Session, submitter: Submitter, actor: str | None, officer_id: str, pin: str) -> Officer:
    """Give an officer a PIN in place of any earlier one. Raises WeakPinError."""
    officer = find(session, Officer, officer_id)
    credential.keep_pin(session, officer_id, officer.number, pin)
    return _say(session, submitter, actor, officer, "pin_given")


def take_pin(session: Session, submitter: Submitter, actor: str | None, officer_id: str) -> Officer:
    """Take the PIN back."""
    officer = find(session, Officer, officer_id)
    credential.forget(session, officer_id, pin=True)
    return _say(session, submitter, actor, officer, "pin_taken")


def _say(session: Session, submitter: Submitter, actor: str | None, officer: Officer, event: str) -> Officer:
    facts = {"event": event, "officer": officer.id}
    submitter.submit(session, Draft(type="officer", actor=actor, about=(officer.id,), facts=facts))
    return officer
