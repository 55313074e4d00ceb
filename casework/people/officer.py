"""The register of officers, as `officer` entries tell it.

What is personal lies in the "facts" bucket. The table is what the entries come to; `apply_officer` writes it, live and
on replay alike. What an officer shows at the dock is casework.people.badge's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Date, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import CaseworkError, FieldError, day_or_none, number_code, text
from casework.people.unit import NAME_LIMIT, Unit
from casework.subject import find, refuse_taken, say_of
from core.canonical import Json
from core.clock import new_id, parse_stamp
from core.db import Base, UtcDateTime
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, Projection, Submitter

OFFICER_NUMBER_LENGTH = 6


CERTIFICATE_LIMIT = 32


A_DAY = timedelta(days=1)


CREDENTIAL_EVENTS = {  # of `officer` entries: which column, and whether something was given or taken
    "badge_given": ("badge_since", True),
    "badge_taken": ("badge_since", False),
    "pin_given": ("pin_since", True),
    "pin_taken": ("pin_since", False),
}


class StaleOfficerError(CaseworkError):
    """Somebody else changed the officer in between."""

    code = "casework.stale_officer"
    sentence = (
        "Officer {number} was changed by somebody else while you were editing. Your change was not saved and nothing "
        "was lost: look at the entry as it is now and make your change there."
    )


class PeriodError(FieldError):
    """A certificate that would end before it begins."""

    code = "casework.period"
    sentence = (
        "A certificate cannot be valid from {since} until {until}. "
        "Nothing was changed; compare both days with the card."
    )


class Officer(Base):
    """An enforcement officer; `number` is on the recorder's files.

    A certificate is valid on whole days of the bureau's zone; `certificate_begins_at` and `certificate_ends_at`
    are the same as moments (the end exclusive), so that nobody who asks has to know the zone. `badge_since` and
    `pin_since` say that one was given; what was given is kept in casework.people.badge and never on the log.
    """

    __tablename__ = "officer"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    unit_id: Mapped[str | None]
    certificate_number: Mapped[str]
    certificate_valid_from: Mapped[date | None] = mapped_column(Date)
    certificate_valid_until: Mapped[date | None] = mapped_column(Date, index=True)
    certificate_begins_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    certificate_ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    badge_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pin_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[str]

    def has_certificate(self, on: date) -> bool:
        """Whether a certificate is known that is valid on that day (D15)."""
        return (
            bool(self.certificate_number)
            and self.certificate_valid_until is not None
            and (self.certificate_valid_from or on) <= on <= self.certificate_valid_until
        )


@dataclass(frozen=True)
class OfficerFacts:
    """What is typed about an officer; checked by `checked`."""

    number: str
    name: str
    unit_id: str | None = None
    certificate_number: str = ""
    certificate_valid_until: str | date | None = None
    certificate_valid_from: str | date | None = None

    def checked(self, session: Session) -> Json:
        """The body of the entry. Raises FieldError, UnknownSubjectError."""
        if self.unit_id is not None:
            find(session, Unit, self.unit_id)
        since = day_or_none(self.certificate_valid_from, "certificate_valid_from")
        until = day_or_none(self.certificate_valid_until, "certificate_valid_until")
        if since is not None and until is not None and until < since:
            raise PeriodError(since=since.isoformat(), until=until.isoformat())
        return {
            "number": number_code(self.number, "number", OFFICER_NUMBER_LENGTH),
            "name": text(self.name, "name", NAME_LIMIT),
            "unit_id": self.unit_id,
            "certificate_number": text(
                self.certificate_number, "certificate_number", CERTIFICATE_LIMIT, required=False
            ),
            "certificate_valid_from": since.isoformat() if since else None,
            "certificate_valid_until": until.isoformat() if until else None,
        }


def register_officer(session: Session, submitter: Submitter, actor: str | None, facts: OfficerFacts) -> str:
    """Enter an officer in the register; returns the officer's id. Raises FieldError, TakenError."""
    body = facts.checked(session)
    refuse_taken(session, Officer, body["number"], None)
    return say_of(session, submitter, "officer", "registered", new_id(), actor, body)


def change_officer(
    session: Session, submitter: Submitter, actor: str | None, officer_id: str, facts: OfficerFacts,
    version: str = "",
) -> str:  # fmt: skip
    """Correct what the register says of an officer, from the `version` that the editor saw; returns the id.

    Raises StaleOfficerError when somebody was faster, FieldError, TakenError, UnknownSubjectError.
    """
    officer = find(session, Officer, officer_id)
    if version and officer.version != version:
        raise StaleOfficerError(number=officer.number)
    body = facts.checked(session)
    refuse_taken(session, Officer, body["number"], officer_id)
    return say_of(session, submitter, "officer", "changed", officer_id, actor, body)


def officers(session: Session) -> list[Officer]:
    """Every officer, by number."""
    return list(session.scalars(select(Officer).order_by(Officer.number)))


def officer_by_number(session: Session, number: str) -> Officer | None:
    """The officer with the number that recorders write into file names."""
    return session.scalar(select(Officer).where(Officer.number == number))


def officer_names(session: Session, numbers: Iterable[str]) -> dict[str, str]:
    """Names by officer number, for a page of rows in one query."""
    wanted = set(numbers)
    found = session.execute(select(Officer.number, Officer.name).where(Officer.number.in_(wanted)))
    return {row.number: row.name for row in found}


def apply_officer(zone: str) -> Projection:
    """The projection of `officer` entries for a bureau whose days are those of `zone`."""
    here = ZoneInfo(zone)

    def apply(session: Session, applied: AppliedEntry) -> None:
        event = applied.leaf.facts["event"]
        if event in CREDENTIAL_EVENTS:
            _apply_credential(session, applied.leaf.facts["officer"], event, parse_stamp(applied.leaf.time))
        elif applied.fields is not None:
            session.merge(_officer(applied.leaf, applied.fields, here))

    return apply


def _officer(leaf: Leaf, fields: Json, here: ZoneInfo) -> Officer:
    """The row that a registering or changing entry comes to; what it does not speak of stays as it is."""
    since, until = (_day(fields.get(name)) for name in ("certificate_valid_from", "certificate_valid_until"))
    return Officer(
        id=leaf.facts["officer"], number=fields["number"], name=fields["name"], unit_id=fields.get("unit_id"),
        certificate_number=fields.get("certificate_number", ""), certificate_valid_from=since,
        certificate_valid_until=until, certificate_begins_at=_midnight(since, here),
        certificate_ends_at=_midnight(until + A_DAY if until else None, here), version=leaf.id,
    )  # fmt: skip


def _apply_credential(session: Session, officer_id: str, event: str, at: datetime) -> None:
    officer = session.get(Officer, officer_id)
    if officer is None:  # a register entry that was refused; nobody to give anything to
        return
    column, is_given = CREDENTIAL_EVENTS[event]
    setattr(officer, column, at if is_given else None)
    session.flush()


def _day(written: str | None) -> date | None:
    return date.fromisoformat(written) if written else None


def _midnight(day: date | None, here: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, here).astimezone(UTC)
