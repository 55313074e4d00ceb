"""Units and officers: the bureau's register, and the names of those who act.

Everything here is a fact on the log (`unit`, `officer`, `account` entries) whose personal part lies in the
"facts" bucket. The tables are what the entries come to; `apply_*` writes them, live and on replay alike.
`ActorName` keeps every name an account ever had, so that a chain of custody names people as they were then;
the account itself (password, roles, sessions) is the console's. Recorders are casework.recorder's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Date, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import CaseworkError, FieldError, day_or_none, number_code, text
from casework.recorder_asset import RecorderAsset
from core.canonical import Json
from core.clock import new_id, parse_stamp
from core.db import Base, UtcDateTime
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, Projection, Submitter
from vault.log.submission import Draft

# Lengths of the recorder owner record (DOMAIN.md, "Also expected").
OFFICER_NUMBER_LENGTH = 6
UNIT_NUMBER_LIMIT = 12
NAME_LIMIT = 32
CERTIFICATE_LIMIT = 32
A_DAY = timedelta(days=1)
CREDENTIAL_EVENTS = {  # of `officer` entries: which column, and whether something was given or taken
    "badge_given": ("badge_since", True),
    "badge_taken": ("badge_since", False),
    "pin_given": ("pin_since", True),
    "pin_taken": ("pin_since", False),
}


class TakenError(CaseworkError):
    """A number that must be unique is already in the register."""

    code = "casework.taken"
    sentence = "{what} {number} is registered already. Nothing was changed; look it up and change that entry."


class UnknownSubjectError(CaseworkError):
    """Something referred to is not there."""

    code = "casework.unknown"
    sentence = "There is no {what} '{id}' in this station's records. Nothing was changed; look it up again."


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


class Unit(Base):
    """A unit of the bureau; `number` has up to 12 characters."""

    __tablename__ = "unit"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]  # the entry that says so


class Officer(Base):
    """An enforcement officer; `number` is on the recorder's files.

    A certificate is valid on whole days of the bureau's zone; `certificate_begins_at` and `certificate_ends_at`
    are the same as moments (the end exclusive), so that nobody who asks has to know the zone. `badge_since` and
    `pin_since` say that one was given; what was given is kept in casework.badge and never on the log.
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


class ActorName(Base):
    """What an account was called from one moment on."""

    __tablename__ = "actor_name"
    __table_args__ = (Index("ix_actor_name_account_at", "account_id", "at"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    username: Mapped[str]
    name: Mapped[str]
    officer_id: Mapped[str | None]


T = TypeVar("T", Unit, Officer, RecorderAsset)


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


def register_unit(session: Session, submitter: Submitter, actor: str | None, number: str, name: str) -> str:
    """Enter a unit in the register; returns its id. Raises FieldError, TakenError."""
    body = {"number": text(number, "number", UNIT_NUMBER_LIMIT), "name": text(name, "name", NAME_LIMIT)}
    _refuse_taken(session, Unit, "number", body["number"], None)
    return _submit(session, submitter, "unit", "registered", new_id(), actor, body)


def change_unit(
    session: Session, submitter: Submitter, actor: str | None, unit_id: str, number: str, name: str
) -> str:
    """Correct a unit's number or name; returns its id."""
    find(session, Unit, unit_id)
    body = {"number": text(number, "number", UNIT_NUMBER_LIMIT), "name": text(name, "name", NAME_LIMIT)}
    _refuse_taken(session, Unit, "number", body["number"], unit_id)
    return _submit(session, submitter, "unit", "changed", unit_id, actor, body)


def register_officer(session: Session, submitter: Submitter, actor: str | None, facts: OfficerFacts) -> str:
    """Enter an officer in the register; returns the officer's id. Raises FieldError, TakenError."""
    body = facts.checked(session)
    _refuse_taken(session, Officer, "number", body["number"], None)
    return _submit(session, submitter, "officer", "registered", new_id(), actor, body)


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
    _refuse_taken(session, Officer, "number", body["number"], officer_id)
    return _submit(session, submitter, "officer", "changed", officer_id, actor, body)


def units(session: Session) -> list[Unit]:
    """Every unit, by number."""
    return list(session.scalars(select(Unit).order_by(Unit.number)))


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


def actor_name(session: Session, account_id: str, at: datetime) -> ActorName | None:
    """What the account was called at that time; None when the log has no name for it."""
    return session.scalar(
        select(ActorName)
        .where(ActorName.account_id == account_id, ActorName.at <= at)
        .order_by(ActorName.at.desc(), ActorName.entry_id.desc())
        .limit(1)
    )


def find(session: Session, table: type[T], identity: str) -> T:
    """A row by id. Raises UnknownSubjectError."""
    row = session.get(table, identity)
    if row is None:
        raise UnknownSubjectError(what=table.__tablename__, id=identity)
    return row


def apply_unit(session: Session, applied: AppliedEntry) -> None:
    """Write what a `unit` entry says."""
    if applied.fields is not None:
        session.merge(
            Unit(
                id=applied.leaf.facts["unit"],
                number=applied.fields["number"],
                name=applied.fields["name"],
                version=applied.leaf.id,
            )
        )


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


def apply_account(session: Session, applied: AppliedEntry) -> None:
    """Remember what an account is called from this `account` entry on."""
    if applied.fields is not None and "name" in applied.fields:
        session.merge(
            ActorName(
                entry_id=applied.leaf.id,
                account_id=applied.leaf.facts["account"],
                at=parse_stamp(applied.leaf.time),
                username=applied.fields.get("username", ""),
                name=applied.fields["name"],
                officer_id=applied.fields.get("officer_id"),
            )
        )


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


def _submit(
    session: Session, submitter: Submitter, kind: str, event: str, subject: str, actor: str | None, body: Json
) -> str:
    facts = {"event": event, kind: subject}
    submitter.submit(session, Draft(type=kind, actor=actor, about=(subject,), facts=facts, body=body))
    return subject


def _refuse_taken(
    session: Session,
    table: type[Unit | Officer],
    column: str,
    number: str,
    own_id: str | None,
) -> None:
    taken_by = session.scalar(select(table.id).where(getattr(table, column) == number))
    if taken_by is not None and taken_by != own_id:
        raise TakenError(what=table.__tablename__, number=number)
