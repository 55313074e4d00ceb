"""Handing evidence out of the house: what, to whom, why, on the log before any key is asked for.

The `export` entry names the package, the case and every recording. Once vaultd has sequenced it, it is the
grant that keyd wants to see (casework.package.build asks with it), so nothing can leave without its entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, Session, column_property, mapped_column

from casework.cases.case import get_case
from casework.evidence.exhibit import Exhibit, NotLinkedError
from casework.evidence.recording import Recording, get_recording
from casework.field import CaseworkError, text
from casework.package.content import RECORDING_LIMIT
from casework.subject import UnknownSubjectError
from core.clock import new_id, parse_stamp
from core.db import Base, UtcDateTime
from vault.log.index import EntryRow
from vault.log.outbox import AppliedEntry, Submitter
from vault.log.submission import Draft

RECIPIENT_LIMIT = 200
PURPOSE_LIMIT = 500


class NothingChosenError(CaseworkError):
    """A package of nothing, or of too much."""

    code = "casework.nothing_chosen"
    sentence = (
        "{count} recordings were chosen, and a package holds between 1 and {limit}. "
        "Nothing was handed out; choose again, or make several packages."
    )


class NotSealedError(CaseworkError):
    """A recording that is not on the log yet cannot be proven."""

    code = "casework.not_sealed"
    sentence = (
        "{name} is not on the log yet, so nothing could prove it. Nothing was handed out; "
        "wait until it is shown as sealed and repeat."
    )


class DisposedRecordingError(CaseworkError):
    """A recording whose content is gone."""

    code = "casework.disposed_recording"
    sentence = (
        "{id} was disposed of; its content cannot be opened by anybody. "
        "Nothing was handed out; leave it out and repeat. The log still proves that it existed."
    )


class Disclosure(Base):
    """One `export` entry: a package that was asked for."""

    __tablename__ = "disclosure"
    __table_args__ = (Index("ix_disclosure_case", "case_id", "at"), Index("ix_disclosure_at", "at"))

    package_id: Mapped[str] = mapped_column(primary_key=True)
    entry_id: Mapped[str] = mapped_column(unique=True)
    case_id: Mapped[str]
    actor: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    recordings: Mapped[int]
    recipient: Mapped[str]
    purpose: Mapped[str]
    entry_index: Mapped[int | None] = column_property(  # None until vaultd has put the entry on the log
        select(EntryRow.index).where(EntryRow.id == entry_id).correlate_except(EntryRow).scalar_subquery()
    )


class DisclosedRecording(Base):
    """A recording in a package."""

    __tablename__ = "disclosed_recording"
    __table_args__ = (Index("ix_disclosed_recording_recording", "recording_id"),)

    package_id: Mapped[str] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(primary_key=True)


def request_disclosure(
    session: Session, submitter: Submitter, actor: str | None, case_id: str, recording_ids: Sequence[str], *,
    recipient: str, purpose: str,
) -> Disclosure:  # fmt: skip
    """Enter that these exhibits of the case go to `recipient`; the package is built once that is sequenced.

    Raises NothingChosenError, NotLinkedError, NotSealedError, DisposedRecordingError, UnknownSubjectError and
    FieldError.
    """
    case, chosen = get_case(session, case_id), list(dict.fromkeys(recording_ids))
    if not 1 <= len(chosen) <= RECORDING_LIMIT:
        raise NothingChosenError(count=len(chosen), limit=RECORDING_LIMIT)
    body = {
        "recipient": text(recipient, "recipient", RECIPIENT_LIMIT),
        "purpose": text(purpose, "purpose", PURPOSE_LIMIT, lines=True),
    }
    for recording_id in chosen:
        _refuse_unfit(session, case_id, case.number, recording_id)
    package_id = new_id()
    facts = {"package": package_id, "case": case_id, "recordings": len(chosen)}
    submitter.submit(
        session, Draft(type="export", actor=actor, about=(case_id, *chosen), facts=facts, body=body)
    )
    return get_disclosure(session, package_id)


def get_disclosure(session: Session, package_id: str) -> Disclosure:
    """One package that was asked for. Raises UnknownSubjectError."""
    disclosure = session.get(Disclosure, package_id)
    if disclosure is None:
        raise UnknownSubjectError(what="package", id=package_id)
    return disclosure


def list_disclosures(session: Session, case_id: str | None = None, limit: int = 100) -> list[Disclosure]:
    """The packages that were asked for, the newest first; of one case when it is named."""
    query = select(Disclosure).order_by(Disclosure.at.desc(), Disclosure.package_id.desc()).limit(limit)
    return list(session.scalars(query.where(Disclosure.case_id == case_id) if case_id else query))


def disclosed_recordings(session: Session, package_id: str) -> list[Recording]:
    """The recordings of a package, in the order in which they happened."""
    return list(
        session.scalars(
            select(Recording)
            .join(DisclosedRecording, DisclosedRecording.recording_id == Recording.id)
            .where(DisclosedRecording.package_id == package_id)
            .order_by(Recording.happened_at, Recording.id)
        )
    )


def apply_export(session: Session, applied: AppliedEntry) -> None:
    """Write what an `export` entry says."""
    leaf, fields = applied.leaf, applied.fields or {}
    package_id, case_id = leaf.facts["package"], leaf.facts["case"]
    session.merge(
        Disclosure(
            package_id=package_id,
            entry_id=leaf.id,
            case_id=case_id,
            actor=leaf.actor,
            at=parse_stamp(leaf.time),
            recordings=leaf.facts["recordings"],
            recipient=fields.get("recipient", ""),
            purpose=fields.get("purpose", ""),
        )
    )
    for recording_id in leaf.about:
        if recording_id != case_id:
            session.merge(DisclosedRecording(package_id=package_id, recording_id=recording_id))


def _refuse_unfit(session: Session, case_id: str, case_number: str, recording_id: str) -> None:
    recording = get_recording(session, recording_id)
    if session.get(Exhibit, (case_id, recording_id)) is None:
        raise NotLinkedError(name=recording.name, number=case_number)
    if recording.is_disposed:
        raise DisposedRecordingError(id=recording.id)
    if recording.entry_index is None:
        raise NotSealedError(name=recording.name)
