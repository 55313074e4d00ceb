"""The omission statement: everything that was on a medium, what became of each thing, and what seems to be missing.

Invariants: each file that was listed, refused, left out or known from an earlier visit has exactly one row with
exactly one fate; rows that no room is left for are counted by fate and never dropped unsaid; taken files are named by
their recording id alone, so that the disposal of a recording leaves no name of it here; the words are "found on a
recorder", because who recorded something is not what a dock can see (docs/formats/statement.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.canonical import Json, encode
from core.clock import new_id, stamp
from core.digest import sha256_hex
from ingest.damage import Ranges
from ingest.error import IngestError
from ingest.sequence import NumberGap, TimeGap
from vault.formats.entry import is_ulid

VERSION = 1
LISTS = ("files", "number_gaps", "time_gaps", "split")  # what pages are cut from, in this order
INLINE_BYTES = (
    384 * 1024
)  # in the session's own body, which holds up to 256 KiB of failures and has room for 1 MiB
PAGE_BYTES = 896 * 1024  # of one page: a body is at most 1 MiB with its salt
ROWS_BYTES = (
    24 * 1024 * 1024
)  # of rows: 200,000 entries of a medium with their names; hostile names fill no vault


class Fate(StrEnum):
    """What became of one thing on the medium."""

    TAKEN = "taken"  # copied in this session, with a receipt
    DAMAGED = "damaged"  # copied with holes, in this session or before; `ranges` say where
    COMPARED = "compared"  # has a receipt; read again in full now and equal
    NOT_REREAD = "not_reread"  # has a receipt; not read now
    LEFT_OUT = "left_out"  # the profile says that it is no footage
    REFUSED = "refused"  # no regular file, or a name that is none
    UNREADABLE = "unreadable"
    NO_LONGER_THERE = "no_longer_there"  # seen by this session before it was interrupted
    NOT_TAKEN = "not_taken"  # any other reason, by its code


KEPT = frozenset({Fate.TAKEN, Fate.DAMAGED, Fate.COMPARED, Fate.NOT_REREAD})


class IdentityBy(StrEnum):
    """How it was established which recorder this is."""

    UNLOCK = "unlock"  # it answered the unlocking exchange
    USB = "usb"  # claimed by its USB descriptors
    NAMES = "names"  # claimed by the names of its files
    HAND = "hand"  # a person named a folder
    SENT_IN = "sent_in"  # it came through the inbox
    NONE = "none"


class HolderBy(StrEnum):
    """How it was established who held it."""

    BADGE = "badge"
    PIN = "pin"
    TYPED = "typed"
    NAMES = "names"
    LEDGER = "ledger"  # the signed issue ledger says so
    NONE = "none"


class StatementError(IngestError):
    """A statement whose pages do not make the whole that the session's entry names."""

    code = "ingest.statement"
    sentence = (
        "The omission statement of session {session} is not the one that was sealed ({why}). The recordings have "
        "receipts of their own; run `sealdock vault verify` and ask the administrator."
    )


@dataclass
class Rows:
    """The rows of a statement, within the room there is for them."""

    files: list[Json] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    _bytes: int = 0

    def kept(self, fate: Fate, recording_id: str, receipt: int | None = None, ranges: Ranges = ()) -> None:
        """A file that is in the vault: by its recording, the place of its entry where that is known, and its holes."""
        row: Json = {"fate": fate.value, "id": recording_id}
        if receipt is not None:
            row["receipt"] = receipt
        if ranges:
            row["ranges"] = [list(one) for one in ranges]
        self._add(fate, row)

    def omitted(self, fate: Fate, path: str, reason: str = "", size: int | None = None) -> None:
        """Something that is not in the vault: by its path, because nothing else names it."""
        row: Json = {"fate": fate.value, "path": path}
        if reason:
            row["reason"] = reason
        if size is not None:
            row["size"] = size
        self._add(fate, row)

    def uncounted(self, fate: Fate, count: int) -> None:
        """Things of which only the number is known."""
        if count:
            self.counts[fate.value] += count
            self.unlisted[fate.value] += count

    def _add(self, fate: Fate, row: Json) -> None:
        self.counts[fate.value] += 1
        self._bytes += len(encode(row)) + 1
        if self._bytes > ROWS_BYTES:
            self.unlisted[fate.value] += 1
        else:
            self.files.append(row)


@dataclass(frozen=True)
class Page:
    """One page: an entry of its own, named by the session's entry."""

    id: str
    lists: Json

    @property
    def sha256(self) -> str:
        """The digest of its canonical JSON."""
        return sha256_hex(encode(self.lists))


@dataclass(frozen=True)
class Sealable:
    """A statement as it goes on the log: `head` into the session's body, `pages` as entries beside it."""

    head: Json
    pages: tuple[Page, ...]

    def counts(self) -> Json:
        """What of it may be public: numbers, without a name."""
        counts = self.head["counts"]
        return {
            "listed": sum(counts.values()),
            "omitted": sum(n for fate, n in counts.items() if fate not in KEPT),
            "damaged": counts.get(Fate.DAMAGED.value, 0),
            "number_gaps": self.head["gaps"]["number"],
            "time_gaps": self.head["gaps"]["time"],
            "pages": len(self.pages),
        }


def make_statement(
    facts: Json,
    rows: Rows,
    number_gaps: Sequence[NumberGap],
    time_gaps: Sequence[TimeGap],
    split: Sequence[Json],
) -> Json:
    """The whole statement: `facts` of session, recorder and people, the rows, and what the names say is missing."""
    return {
        "v": VERSION,
        **facts,
        "counts": dict(rows.counts),
        "unlisted": dict(rows.unlisted),
        "gaps": {"number": len(number_gaps), "time": len(time_gaps)},
        "files": rows.files,
        "number_gaps": [_number_gap(gap) for gap in number_gaps],
        "time_gaps": [_time_gap(gap) for gap in time_gaps],
        "split": list(split),
    }


def sealable(statement: Json) -> Sealable:
    """The statement in one piece when the session's body has room for it, else its lists as pages.

    The head names each page's entry and digest, and the digest of the whole.
    """
    whole = encode(statement)
    if len(whole) <= INLINE_BYTES:
        return Sealable(statement, ())
    pages = tuple(Page(new_id(), lists) for lists in _cut(statement))
    head = {key: value for key, value in statement.items() if key not in LISTS}
    head["pages"] = [{"id": page.id, "sha256": page.sha256} for page in pages]
    head["sha256"] = sha256_hex(whole)
    return Sealable(head, pages)


def joined(head: Json, pages: Sequence[Json]) -> Json:
    """The whole statement again, from the session's body and its pages in order.

    Each page and the whole must have the digests that the head names. Raises StatementError.
    """
    named = head.get("pages", [])
    session = str(head.get("session", ""))
    if len(named) != len(pages):
        raise StatementError(session=session, why=f"it has {len(named)} pages and {len(pages)} are here")
    if not named:
        return head
    whole: Json = {key: value for key, value in head.items() if key not in {"pages", "sha256"}}
    whole |= {name: [] for name in LISTS}
    for number, (page, lists) in enumerate(zip(named, pages, strict=True), 1):
        if not is_ulid(page.get("id")) or sha256_hex(encode(lists)) != page.get("sha256"):
            raise StatementError(session=session, why=f"page {number} is another one")
        for name in LISTS:
            whole[name] += lists.get(name, [])
    if sha256_hex(encode(whole)) != head.get("sha256"):
        raise StatementError(session=session, why="its pages do not make it")
    return whole


def condition_facts(condition: Any) -> Json:
    """What a recorder said of itself; what it did not say is left out, and an unread clock is `unknown`."""
    clock = getattr(condition, "clock", None)
    told: Json = {
        name: value
        for name in ("battery_percent", "free_bytes", "capacity_bytes", "firmware")
        if (value := getattr(condition, name, None)) not in {None, ""}
    }
    told["clock"] = (
        "unknown"
        if clock is None
        else {
            "offset_ms": round(clock.offset_s * 1000),
            "uncertainty_ms": round(clock.uncertainty_s * 1000),
            "measured_at": stamp(clock.station_after),
        }
    )
    acts = [{"command": act.command, "changed": act.changed} for act in getattr(condition, "acts", ())]
    return told | ({"acts": acts} if acts else {})


def untouched_facts(untouched: Any) -> Json | None:
    """The proof that the dock wrote nothing, with what it rests on; None when there is none."""
    if untouched is None:
        return None
    names = ("method", "sectors_written", "tables_sha256_before", "tables_sha256_after")
    told = {name: value for name in names if (value := getattr(untouched, name, None)) is not None}
    return {name: str(value) if name == "method" else value for name, value in told.items()} | {
        "holds": bool(untouched.holds)
    }


def _cut(statement: Json) -> Iterable[Json]:
    page: dict[str, list[Any]] = {}
    room = PAGE_BYTES
    for name in LISTS:
        for row in statement[name]:
            size = len(encode(row)) + 1
            if size > room and page:
                yield page
                page, room = {}, PAGE_BYTES
            room -= size
            page.setdefault(name, []).append(row)
    if page:
        yield page


def _number_gap(gap: NumberGap) -> Json:
    told: Json = {"series": gap.series, "first": gap.first, "last": gap.last}
    return told | {name: ref for name in ("after", "before") if (ref := getattr(gap, name)) is not None}


def _time_gap(gap: TimeGap) -> Json:
    told: Json = {
        "after": gap.after,
        "before": gap.before,
        "seconds": gap.seconds,
        "until": gap.until_at.isoformat(),
    }
    return told | ({"from": gap.from_at.isoformat()} if gap.from_at else {})
