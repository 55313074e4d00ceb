"""What a session erased from its recorder, as sentences for its printed receipt; the console translates.

Invariant: nothing is said of a session that wrote nothing to its medium, and everything comes from entries on the log:
the omission statement was signed before, and cannot know it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from ingest.erase_record import erasing_of
from ingest.statement_words import Sentence

ERASED = (
    "Afterwards {erased} files ({bytes} bytes) were erased from the recorder by policy, each compared with its receipt "
    "first."
)
KEPT = "{kept} files that were considered stayed on the recorder."
WRITTEN = "For that, {sectors} sectors of 512 bytes were written to the medium; what is said of it above is of before."
WRITTEN_UNKNOWN = "For that, the medium was written to; how much is not known."
OPEN = "The recorder left, or the dock was cut off, before the erasing had ended."


def erasing_sentences(session: Session, session_id: str) -> Iterator[Sentence]:
    """One sentence for each thing; none where nothing was erased."""
    told = erasing_of(session, session_id)
    if told is None:
        return
    yield Sentence(ERASED, {"erased": told.erased, "bytes": told.bytes})
    if not told.is_over:
        yield Sentence(OPEN, {})
        return
    if told.kept:
        yield Sentence(KEPT, {"kept": told.kept})
    if told.sectors_written is None:
        yield Sentence(WRITTEN_UNKNOWN, {})
    else:
        yield Sentence(WRITTEN, {"sectors": told.sectors_written})
