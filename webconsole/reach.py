"""Which recordings an account reaches: all by its desk role, or what its own officer recorded."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.people import Officer
from casework.permission import Permission, allows
from casework.recording import Recording, get_recording
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
