"""Which recordings and cases an account reaches: all by its desk role, or what its own officer recorded."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission, allows
from casework.cases.case import PAGE_SIZE, CaseFile, CasePage, Stage, list_cases
from casework.evidence.exhibit import Exhibit
from casework.evidence.recording import Recording, get_recording
from casework.people.officer import Officer
from webconsole.auth.session import SignedIn
from webconsole.context import console
from webconsole.gate import current_account, refuse


def own_number(session: Session, account: SignedIn) -> str | None:
    """The officer number that recorders write for this account's person, None for people without one."""
    officer = session.get(Officer, account.officer_id) if account.officer_id else None
    return officer.number if officer else None


def is_own(session: Session, account: SignedIn, recording: Recording) -> bool:
    """Whether the account's person made the recording: no purpose is asked for one's own."""
    number = own_number(session, account)
    return number is not None and recording.officer_number == number


def reached(recording_id: str, wide: Permission, own: Permission) -> Recording:
    """The recording, when the account holds `wide`, or `own` and made it itself.

    Raises DeniedError (and counts the attempt), UnknownSubjectError.
    """
    account = current_account()
    with console().db.reading() as session:
        recording = get_recording(session, recording_id)
        allowed = allows(account.roles, wide) or (
            allows(account.roles, own) and is_own(session, account, recording)
        )
    if not allowed:
        raise refuse(wide, recording_id)
    return recording


def reached_cases(
    session: Session, *, words: str = "", stages: Collection[Stage] = (), cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> CasePage:  # fmt: skip
    """A page of the cases that the account may know: all, or those that hold a recording of its own."""
    account = current_account()
    if allows(account.roles, Permission.RECORDING_LIST):
        return list_cases(session, words=words, stages=stages, cursor=cursor, limit=limit)
    number = own_number(session, account)
    if number is None:
        return CasePage([], None)
    recorded = select(Recording.id).where(Recording.officer_number == number)
    held = select(Exhibit.case_id).where(Exhibit.recording_id.in_(recorded))
    query = select(CaseFile).where(CaseFile.id.in_(held)).order_by(CaseFile.id.desc()).limit(limit + 1)
    if words:
        looked_in = (CaseFile.number, CaseFile.title, CaseFile.party)
        query = query.where(or_(*(part.contains(words, autoescape=True) for part in looked_in)))
    if stages:
        query = query.where(CaseFile.stage.in_([str(stage) for stage in stages]))
    if cursor:
        query = query.where(CaseFile.id < cursor)
    found = list(session.scalars(query))
    return CasePage(found[:limit], found[limit - 1].id if len(found) > limit else None)
