"""Units, officers and recorders: the bureau's register, and the names of those who act.

Everything here is a fact on the log (`unit`, `officer`, `recorder`, `account` entries) whose personal part
lies in the "facts" bucket. The tables are what the entries come to; `apply_*` writes them, live and on replay
alike. `ActorName` keeps every name an account ever had, so that a chain of custody names people as they were
then; the account itself (password, roles, sessions) is the console's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from sqlalchemy import Date, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from casework.field import CaseworkError, day_or_none, number_code, text
from core.canonical import Json
from core.clock import new_id, parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

# Lengths of the recorder owner record (DOMAIN.md, "Also expected").
OFFICER_NUMBER_LENGTH = 6
RECORDER_SERIAL_LENGTH = 7
UNIT_NUMBER_LIMIT = 12
NAME_LIMIT = 32
MODEL_LIMIT = 64
CERTIFICATE_LIMIT = 32


class TakenError(CaseworkError):
    """A number that must be unique is already in the register."""

    code = "casework.taken"
    sentence = "{what} {number} is registered already. Nothing was changed; look it up and change that entry."


class UnknownSubjectError(CaseworkError):
    """Something referred to is not there."""

    code = "casework.unknown"
    sentence = "There is no {what} '{id}' in this station's records. Nothing was changed; look it up again."


class Unit(Base):
    """A unit of the bureau; `number` has up to 12 characters."""

    __tablename__ = "unit"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    version: Mapped[str]  # the entry that says so


class Officer(Base):
    """An enforcement officer; `number` is on the recorder's files."""

    __tablename__ = "officer"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    unit_id: Mapped[str | None]
    certificate_number: Mapped[str]
    certificate_valid_until: Mapped[date | None] = mapped_column(Date)
    version: Mapped[str]

    def has_certificate(self, on: date) -> bool:
        """Whether a certificate is known that is valid on that day (D15)."""
        return (
            bool(self.certificate_number)
            and self.certificate_valid_until is not None
            and on <= self.certificate_valid_until
        )


class RecorderAsset(Base):
    """A recorder that the bureau owns, and the officer it was issued to."""

    __tablename__ = "recorder_asset"

    id: Mapped[str] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    officer_id: Mapped[str | None] = mapped_column(index=True)
    version: Mapped[str]


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

    def checked(self, session: Session) -> Json:
        """The body of the entry. Raises FieldError, UnknownSubjectError."""
        if self.unit_id is not None:
            find(session, Unit, self.unit_id)
        until = day_or_none(self.certificate_valid_until, "certificate_valid_until")
        return {
            "number": number_code(self.number, "number", OFFICER_NUMBER_LENGTH),
            "name": text(self.name, "name", NAME_LIMIT),
            "unit_id": self.unit_id,
            "certificate_number": text(
                self.certificate_number, "certificate_number", CERTIFICATE_LIMIT, required=False
            ),
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
    session: Session, submitter: Submitter, actor: str | None, officer_id: str, facts: OfficerFacts
) -> str:
    """Correct what the register says of an officer; returns the officer's id."""
    find(session, Officer, officer_id)
    body = facts.checked(session)
    _refuse_taken(session, Officer, "number", body["number"], officer_id)
    return _submit(session, submitter, "officer", "changed", officer_id, actor, body)


def register_recorder(
    session: Session, submitter: Submitter, actor: str | None, serial: str, model: str = "",
    officer_id: str | None = None,
) -> str:  # fmt: skip
    """Enter a recorder in the register, issued or not; returns its id. Raises FieldError, TakenError."""
    body = _recorder_body(session, serial, model, officer_id)
    _refuse_taken(session, RecorderAsset, "serial", body["serial"], None)
    return _submit(session, submitter, "recorder", "registered", new_id(), actor, body)


def issue_recorder(
    session: Session, submitter: Submitter, actor: str | None, recorder_id: str, officer_id: str | None
) -> str:
    """Issue a recorder to an officer, or take it back with None; returns the recorder's id."""
    recorder = find(session, RecorderAsset, recorder_id)
    body = _recorder_body(session, recorder.serial, recorder.model, officer_id)
    return _submit(session, submitter, "recorder", "changed", recorder_id, actor, body)


def units(session: Session) -> list[Unit]:
    """Every unit, by number."""
    return list(session.scalars(select(Unit).order_by(Unit.number)))


def officers(session: Session) -> list[Officer]:
    """Every officer, by number."""
    return list(session.scalars(select(Officer).order_by(Officer.number)))


def recorders(session: Session) -> list[RecorderAsset]:
    """Every recorder, by serial."""
    return list(session.scalars(select(RecorderAsset).order_by(RecorderAsset.serial)))


def officer_by_number(session: Session, number: str) -> Officer | None:
    """The officer with the number that recorders write into file names."""
    return session.scalar(select(Officer).where(Officer.number == number))


def recorder_by_serial(session: Session, serial: str) -> RecorderAsset | None:
    """The recorder with that serial."""
    return session.scalar(select(RecorderAsset).where(RecorderAsset.serial == serial))


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


def apply_officer(session: Session, applied: AppliedEntry) -> None:
    """Write what an `officer` entry says."""
    fields = applied.fields
    if fields is not None:
        until = fields.get("certificate_valid_until")
        session.merge(
            Officer(
                id=applied.leaf.facts["officer"],
                number=fields["number"],
                name=fields["name"],
                unit_id=fields.get("unit_id"),
                certificate_number=fields.get("certificate_number", ""),
                certificate_valid_until=date.fromisoformat(until) if until else None,
                version=applied.leaf.id,
            )
        )


def apply_recorder(session: Session, applied: AppliedEntry) -> None:
    """Write what a `recorder` entry says."""
    if applied.fields is not None:
        session.merge(
            RecorderAsset(
                id=applied.leaf.facts["recorder"],
                serial=applied.fields["serial"],
                model=applied.fields.get("model", ""),
                officer_id=applied.fields.get("officer_id"),
                version=applied.leaf.id,
            )
        )


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


def _recorder_body(session: Session, serial: str, model: str, officer_id: str | None) -> Json:
    if officer_id is not None:
        find(session, Officer, officer_id)
    return {
        "serial": number_code(serial, "serial", RECORDER_SERIAL_LENGTH),
        "model": text(model, "model", MODEL_LIMIT, required=False),
        "officer_id": officer_id,
    }


def _submit(
    session: Session, submitter: Submitter, kind: str, event: str, subject: str, actor: str | None, body: Json
) -> str:
    facts = {"event": event, kind: subject}
    submitter.submit(session, Draft(type=kind, actor=actor, about=(subject,), facts=facts, body=body))
    return subject


def _refuse_taken(
    session: Session,
    table: type[Unit | Officer | RecorderAsset],
    column: str,
    number: str,
    own_id: str | None,
) -> None:
    taken_by = session.scalar(select(table.id).where(getattr(table, column) == number))
    if taken_by is not None and taken_by != own_id:
        raise TakenError(what=table.__tablename__, number=number)
