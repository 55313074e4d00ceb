"""The enforcement certificate: no certificate, no enforcement, and no recorder (D15).

A certificate is valid from the first moment of its first day to the last moment of its last, in the bureau's
zone. One whose first day was never written down counts from ever; one without a last day is no certificate.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, or_

from casework.field import CaseworkError
from casework.people.officer import Officer
from core.errors import Exit

EXPIRES_SOON = timedelta(days=60)  # time to sit the examination and be given the renewed card


class Standing(StrEnum):
    """What an officer's certificate is worth at a moment."""

    VALID = "valid"
    EXPIRING = "expiring"  # valid still, and not for long
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    MISSING = "missing"


class CertificateError(CaseworkError):
    """The officer may not enforce at that moment. The family of the three below."""

    code = "casework.certificate"
    sentence = "{name} ({number}) has no valid enforcement certificate. Nothing was handed out."
    exit_code = Exit.NO


class CertificateExpiredError(CertificateError):
    """The certificate is over."""

    code = "casework.certificate_expired"
    sentence = (
        "The enforcement certificate of {name} ({number}) ended on {until}. Without a valid one nobody is handed a "
        "recorder; nothing was changed. A custodian enters the renewed certificate."
    )


class CertificateNotYetError(CertificateError):
    """The certificate begins later."""

    code = "casework.certificate_not_yet"
    sentence = (
        "The enforcement certificate of {name} ({number}) begins on {since}. Until then nobody is handed a recorder "
        "on it; nothing was changed. If the day is wrong, a custodian corrects it."
    )


class CertificateMissingError(CertificateError):
    """The register knows no certificate, or not until when."""

    code = "casework.certificate_missing"
    sentence = (
        "The register has no enforcement certificate with a last day for {name} ({number}). Without one nobody is "
        "handed a recorder; nothing was changed. A custodian enters number and days from the card."
    )


def standing(officer: Officer, at: datetime, soon: timedelta = EXPIRES_SOON) -> Standing:
    """What the certificate is worth at `at` (any aware time)."""
    if not officer.certificate_number or officer.certificate_ends_at is None:
        return Standing.MISSING
    if at >= officer.certificate_ends_at:
        return Standing.EXPIRED
    if officer.certificate_begins_at is not None and at < officer.certificate_begins_at:
        return Standing.NOT_YET
    return Standing.EXPIRING if at >= officer.certificate_ends_at - soon else Standing.VALID


def refusal(officer: Officer, at: datetime) -> CertificateError | None:
    """Why the officer may not enforce at that moment; None when nothing stands against it (D15)."""
    who = {"name": officer.name, "number": officer.number}
    match standing(officer, at):
        case Standing.EXPIRED:
            return CertificateExpiredError(**who, until=officer.certificate_valid_until)
        case Standing.NOT_YET:
            return CertificateNotYetError(**who, since=officer.certificate_valid_from)
        case Standing.MISSING:
            return CertificateMissingError(**who)
        case _:
            return None


def has_standing(wanted: Standing, at: datetime, soon: timedelta = EXPIRES_SOON) -> ColumnElement[bool]:
    """`standing` as a condition on `Officer`, for lists."""
    ends, begins = Officer.certificate_ends_at, Officer.certificate_begins_at
    missing = or_(Officer.certificate_number == "", ends.is_(None))
    begun = or_(begins.is_(None), begins <= at)
    return {
        Standing.MISSING: missing,
        Standing.EXPIRED: and_(~missing, ends <= at),
        Standing.NOT_YET: and_(~missing, ends > at, ~begun),
        Standing.EXPIRING: and_(~missing, begun, ends > at, ends <= at + soon),
        Standing.VALID: and_(~missing, begun, ends > at + soon),
    }[wanted]
