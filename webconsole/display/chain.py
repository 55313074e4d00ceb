"""The chain of custody in words: what happened, who did it, why; and, asked for, the proof of one line.

A line with a place on the log carries a closed seal. Asked for its proof, the console makes the receipt of
that line anew and verifies it with the log's key before it says a word: words first, digests after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.case import CaseFile
from casework.custody import CustodyLine
from vault.formats.note import VerifierKey
from vault.formats.proof import Receipt
from vault.log.ledger import LogReader
from webconsole.display import wording


@dataclass(frozen=True)
class ChainLine:
    """One entry as a person reads it."""

    entry_id: str
    is_proven: bool
    at: datetime
    what: str
    who: str
    detail: str
    reason: str
    is_minor: bool  # seen in a list: true and proven like the rest, and rarely what a reader looks for


@dataclass(frozen=True)
class LineProof:
    """Why one line can be believed."""

    sentences: tuple[str, ...]
    digests: tuple[tuple[str, str], ...]


def chain_lines(session: Session, lines: list[CustodyLine]) -> list[ChainLine]:
    """The chain as a person reads it."""
    cases = _case_numbers(session, lines)
    return [
        ChainLine(
            entry_id=line.entry_id,
            is_proven=line.has_proof,
            at=line.at,
            what=_what(line),
            who=_who(line),
            detail=_detail(line, cases),
            reason=line.reason or "",
            is_minor=line.type == "view" and line.facts.get("rendition") == "poster",
        )
        for line in lines
    ]


def prove(log: LogReader, verifier: VerifierKey, index: int) -> LineProof:
    """Make the receipt of an entry and verify it. Raises VaultError when it does not hold."""
    receipt = Receipt.parse(log.proof(index))
    leaf = receipt.verify(verifier)
    checkpoint, _ = log.checkpoint()
    sentences = [
        gettext("This is entry %(number)s of the station's log.", number=f"{index + 1:,}"),
        gettext(
            "Checked just now: a checkpoint over %(size)s entries, signed with the station's key, contains "
            "it. Nobody can change, move or remove it without that signature giving it away.",
            size=f"{checkpoint.size:,}",
        ),
    ]
    digests = [
        (gettext("Entry"), leaf.id),
        (gettext("Digest of the entry"), leaf.hash().hex()),
        (gettext("Root of the log"), checkpoint.root.hex()),
        (gettext("Log key"), verifier.vkey),
    ]
    if leaf.object is not None:
        digests.insert(0, (gettext("SHA-256 of the original"), leaf.object.sha256))
        sentences += (gettext("It names the digest of the original, so the file itself is proven with it."),)
    return LineProof(tuple(sentences), tuple(digests))


def _what(line: CustodyLine) -> str:
    facts = line.facts
    words = {
        "ingest": gettext("Taken over and sealed"),
        "session": gettext("Docking session ended"),
        "derive": gettext("Prepared for viewing"),
        "link": gettext("Linked to a case"),
        "view": gettext("Looked at"),
        "denied": gettext("Refused to somebody"),
        "export": gettext("Handed out in a package"),
        "case": gettext("Case changed"),
    }
    if line.type == "link" and facts.get("action") == "unlink":
        return str(gettext("Taken out of a case"))
    if line.type == "case" and facts.get("event") == "opened":
        return str(gettext("Case opened"))
    if line.type == "view" and facts.get("rendition") == "poster":
        return str(gettext("Seen in a list"))
    return str(words.get(line.type, line.type))


def _who(line: CustodyLine) -> str:
    if line.actor_name or line.actor:
        return line.actor_name or str(line.actor)
    by = {"dockd": gettext("The dock"), "worker": gettext("The station"), "vaultd": gettext("The vault")}
    return str(by.get(line.by, line.by))


def _detail(line: CustodyLine, cases: Mapping[str, str]) -> str:
    facts, parts = line.facts, list[str]()
    if line.type == "ingest":
        parts.append(wording.word(wording.origins(), facts.get("origin")))
    if line.type == "derive":
        parts.append(_renditions(facts))
    if line.type == "view":
        parts.append(wording.purpose(str(facts.get("purpose_code", ""))))
        if facts.get("rendition") != "poster":
            parts.append(wording.word(wording.renditions(), facts.get("rendition")))
    if line.type == "denied":
        count = int(facts.get("count", 1))
        parts.append(ngettext("%(num)s attempt", "%(num)s attempts", count))
    if line.type in {"link", "export"} and facts.get("case") in cases:
        parts.append(cases[facts["case"]])
    if line.type == "session":
        parts.append(ngettext("%(num)s file", "%(num)s files", int(facts.get("files", 0))))
    return " · ".join(part for part in parts if part)


def _renditions(facts: Mapping[str, Any]) -> str:
    words = {
        "index": gettext("Index"),
        "poster": gettext("Still"),
        "sprite": gettext("Stills for the timeline"),
        "waveform": gettext("Loudness"),
        "proxy": gettext("Copy for browsers"),
    }
    made = [str(one.get("rendition", "")) for one in facts.get("renditions", [])]
    return ", ".join(words.get(name, name) for name in made)


def _case_numbers(session: Session, lines: list[CustodyLine]) -> dict[str, str]:
    wanted = {line.facts["case"] for line in lines if "case" in line.facts}
    rows = session.execute(select(CaseFile.id, CaseFile.number).where(CaseFile.id.in_(wanted)))
    return dict(rows.all())
