"""The dock's memory from the log: after a lost database a recorder docked later is still known.

Only what recognising a file needs comes back; the sessions and the states in between were this database's
own. An entry that is not on the log yet makes no row: a row from here says that a receipt exists.
"""

from __future__ import annotations

from base64 import b64decode

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from core.clock import parse_stamp
from ingest import erase_record
from ingest.media_facts import MediaFacts
from ingest.recording import IngestRecording, RecordingState, note_damage
from ingest.stated import SessionStatement, StatementPage, apply_page, apply_session
from vault.log.outbox import AppliedEntry, Projections


def register(projections: Projections) -> None:
    """Tell the outbox which entries the dock remembers."""
    projections.on("ingest", apply_ingest)
    projections.on("dispose", apply_dispose)
    projections.on("session", apply_session)
    projections.on("statement", apply_page)
    projections.owns(SessionStatement, StatementPage)
    erase_record.register(projections)


def apply_ingest(session: Session, applied: AppliedEntry) -> None:
    """The projection of `ingest` entries for the dock's memory; a row that is there is left alone."""
    leaf, fields = applied.leaf, applied.fields
    if applied.index is None or fields is None or leaf.object is None:
        return
    if session.get(IngestRecording, leaf.id) is not None:
        return
    raw = fields.get("raw_name_base64")
    modified = fields.get("modified_at")
    session.add(
        IngestRecording(
            id=leaf.id, session_id=None, state=RecordingState.RECEIPTED, shown_path=fields["path"],
            path=b64decode(raw) if raw else fields["path"].encode(), size=leaf.object.size,
            modified_at=parse_stamp(modified) if modified else None, media=leaf.facts["media"],
            recorder_serial=fields.get("recorder_serial") or "", officer_number=fields.get("officer_number"),
            sha256=leaf.object.sha256, entry_index=applied.index, receipted_at=parse_stamp(leaf.time),
        )
    )  # fmt: skip
    if leaf.facts.get("damaged"):
        note_damage(session, leaf.id)


def apply_dispose(session: Session, applied: AppliedEntry) -> None:
    """Once the log has it, no name, path or person of a disposed recording stays; its digest still knows the file."""
    if applied.index is None:
        return
    gone = applied.leaf.about
    session.execute(
        update(IngestRecording)
        .where(IngestRecording.id.in_(gone))
        .values(shown_path="", path=b"", officer_number=None, recorder_serial="", modified_at=None)
    )
    session.execute(delete(MediaFacts).where(MediaFacts.recording_id.in_(gone)))
