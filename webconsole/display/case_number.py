"""A case as people name it: by the number on its file."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.cases.case import CaseFile
from casework.subject import UnknownSubjectError


def case_by_number(session: Session, number: str) -> CaseFile:
    """The case with that number. Raises UnknownSubjectError, which names the number."""
    case = session.scalar(select(CaseFile).where(CaseFile.number == number.strip()))
    if case is None:
        raise UnknownSubjectError(what="case", id=number)
    return case
