"""The receipt of a docking session with its omission statement in words, for a page of paper.

The receipt proves the entry; the statement is the entry's private part as this station has it, held against the digests
and the counts that the entry signs. One that does not fit is not shown: the page says so instead.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy.orm import Session

from casework.paper.kept import KeptReceipt
from ingest.erase_words import erasing_sentences
from ingest.stated import statement_of
from ingest.statement import StatementError
from ingest.statement_words import sentences
from webconsole.i18n import catalogue


@dataclass(frozen=True)
class StatedReceipt(KeptReceipt):
    """A receipt and what its session stated, one sentence each, in the reader's language."""

    said: tuple[str, ...] = ()


def with_statement(session: Session, kept: KeptReceipt, locale: str) -> KeptReceipt:
    """The receipt with its statement; as it was when it is no session's, or the session made none."""
    if kept.leaf.type != "session":
        return kept
    said = _said(session, kept, locale)
    plain = {one.name: getattr(kept, one.name) for one in fields(kept)}
    return StatedReceipt(**plain, said=said) if said else kept


def _said(session: Session, kept: KeptReceipt, locale: str) -> tuple[str, ...]:
    words = catalogue(locale)
    try:
        whole = statement_of(session, kept.leaf.id, kept.leaf.facts.get("statement"))
    except StatementError as cause:
        return (words.gettext(cause.sentence).format(**cause.parameters),)
    if whole is None:
        return ()
    said = (*sentences(whole), *erasing_sentences(session, kept.leaf.id))
    return tuple(words.gettext(one.template).format(**one.parameters) for one in said)
