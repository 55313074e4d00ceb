"""The chain of custody in words: what happened, who did it, why; and, asked for, the proof of one line.

A line with a place on the log carries a closed seal. Asked for its proof, the console makes the receipt of
that line anew and verifies it with the log's key before it says a word: words first, digests after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.cases.case import CaseFile
from casework.evidence.custody import CustodyLine, chain_line, chain_page
from casework.evidence.recording import Recording
from vault.formats.note import VerifierKey
from vault.formats.proof import Receipt
from vault.log.ledger import LogReader
from webconsole.context import console
from webconsole.display import wording
from webconsole.errors import NotFoundError
from webconsole.forms.field import Form
from webconsole.gate import demand, may

OWN_TYPES = frozenset({"ingest", "session"})  # what an officer may know: that it was taken over, and when
LAST_ENTRY = 2**53 - 1  # beyond any log


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


@dataclass(frozen=True)
class ChainView:
    """The part of a chain that stands on a page, and the ways on from it."""

    lines: list[ChainLine]
    entries: int
    in_lists: int  # lines that only say that it was seen in a list; left out until asked for
    shows_lists: bool
    lists_url: str
    first_url: str | None
    next_url: str | None


@dataclass(frozen=True)
class LineProof:
    """Why one line can be believed."""

    sentences: tuple[str, ...]
    digests: tuple[tuple[str, str], ...]


def chain_view(session: Session, subject_id: str, endpoint: str, **subject: Any) -> ChainView:
    """The chain of a subject as far as the reader may know it, one page of it; `endpoint` shows that page."""
    form = Form(request.args)
    after = form.integer("after", 0, LAST_ENTRY, -1)
    lists: dict[str, Any] = {"lists": "1"} if form.is_ticked("lists") else {}
    types = () if may(Permission.CUSTODY_VIEW) else OWN_TYPES
    page = chain_page(session, console().reader, subject_id, types=types, after=after, with_lists=bool(lists))
    on = url_for(endpoint, **subject, **lists, after=page.next_after) if page.next_after is not None else None
    return ChainView(
        lines=chain_lines(session, page.lines, subject_id),
        entries=page.entries,
        in_lists=page.in_lists,
        shows_lists=bool(lists),
        lists_url=url_for(endpoint, **subject, lists="1"),
        first_url=url_for(endpoint, **subject, **lists) if after >= 0 else None,
        next_url=on,
    )


def readable_line(session: Session, subject_id: str, entry_id: str) -> CustodyLine:
    """One line of the chain. Raises NotFoundError, and DeniedError for a line that is not the reader's."""
    line = chain_line(session, console().reader, subject_id, entry_id)
    if line is None:
        raise NotFoundError(what=gettext("entry"))
    if line.type not in OWN_TYPES:
        demand(Permission.CUSTODY_VIEW, subject_id)
    return line


def chain_lines(session: Session, lines: list[CustodyLine], subject_id: str) -> list[ChainLine]:
    """The chain as a person reads it: a case's names its recordings, a recording's the cases, neither itself."""
    names = {**_recording_names(session, lines), **_case_numbers(session, lines)}
    names.pop(subject_id, None)
    return [
        ChainLine(
            entry_id=line.entry_id,
            is_proven=line.has_proof,
            at=line.at,
            what=_what(line),
            who=_who(line),
            detail=_detail(line, names),
            reason=line.reason or "",
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
        "statement": gettext("Page of an omission statement"),
        "derive": gettext("Prepared for viewing"),
        "link": gettext("Linked to a case"),
        "view": gettext("Looked at"),
        "denied": gettext("Refused to somebody"),
        "export": gettext("Handed out in a package"),
        "case": gettext("Case changed"),
        "verify": gettext("Read back and proven"),
        "repair": gettext("Mended from the second copy"),
        "hold": gettext("Legal hold placed"),
        "release": gettext("Legal hold released"),
        "rewrap": gettext("Key wrapped anew"),
        "dispose": gettext("Disposal ordered"),
        "destroy": gettext("Destroyed"),
        "open": gettext("Opened in full to prove it"),
        "claim": gettext("Said by an officer at the dock"),
        "quarantine": gettext("Accepted as duty footage"),
        "erase.allowed": gettext("Erasing from the recorder permitted"),
        "erase.erased": gettext("Erased from the recorder"),
        "erase.ended": gettext("Erasing from the recorder ended"),
    }
    if line.type == "link" and facts.get("action") == "unlink":
        return str(gettext("Taken out of a case"))
    if line.type == "case" and facts.get("event") == "opened":
        return str(gettext("Case opened"))
    if line.type == "verify" and facts.get("result") == "failed":
        return str(gettext("Found changed or lost"))
    if line.type == "quarantine" and facts.get("decision") == "not_duty":
        return str(gettext("Not duty footage"))
    if line.type == "view" and facts.get("rendition") == "poster":
        return str(gettext("Seen in a list"))
    staged = f"{line.type}.{facts.get('stage')}"
    return str(words.get(staged, words.get(line.type, line.type)))


def _who(line: CustodyLine) -> str:
    if line.actor_name or line.actor:
        return line.actor_name or str(line.actor)
    station, vault = gettext("The station"), gettext("The vault")
    by = {
        "dockd": gettext("The dock"), "worker": station, "vaultd": vault, "sealer": vault, "anchord": vault,
        "bureau": gettext("At the machine"),
    }  # fmt: skip
    return str(by.get(line.by, line.by))


def _detail(line: CustodyLine, names: Mapping[str, str]) -> str:
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
    if line.type in {"link", "export"}:
        parts += [names[facts[key]] for key in ("recording", "case") if facts.get(key) in names]
    if line.type == "export" and "recordings" in facts:
        parts.append(ngettext("%(num)s recording", "%(num)s recordings", int(facts["recordings"])))
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
    return str(gettext(", ")).join(words.get(name, name) for name in made)


def _case_numbers(session: Session, lines: list[CustodyLine]) -> dict[str, str]:
    wanted = {line.facts["case"] for line in lines if "case" in line.facts}
    rows = session.execute(select(CaseFile.id, CaseFile.number).where(CaseFile.id.in_(wanted)))
    return dict(rows.all())


def _recording_names(session: Session, lines: list[CustodyLine]) -> dict[str, str]:
    if not may(Permission.RECORDING_LIST):  # a file's name is private; the log itself does not tell it
        return {}
    wanted = {line.facts["recording"] for line in lines if "recording" in line.facts}
    rows = session.execute(select(Recording.id, Recording.name).where(Recording.id.in_(wanted)))
    return {recording_id: name or gettext("(no name)") for recording_id, name in rows}
