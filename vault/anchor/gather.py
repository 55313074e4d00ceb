"""One round of gathering: pin the log's head, ask everybody about it, keep what holds.

Invariants: nothing here writes the log or the database, and nothing waits for it; a source that fails keeps no other
from answering; what a source gave is checked before it is kept. A newer checkpoint covers every older one, so a round
asks about the head alone: what was missed while the line was down is made good by the next answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from core.clock import utc_now
from core.errors import Exit
from vault.anchor.conflict import Conflict, ConflictError
from vault.anchor.entry import ANCHOR
from vault.anchor.source import Authority, Proven, Source, Witness
from vault.anchor.store import AnchorStore
from vault.audit.anchor import Anchor
from vault.error import VaultError
from vault.formats.cosignature import Cosigner, claimed_at
from vault.formats.note import Note

ANCHORD = "anchord"
ML_DSA = "ml-dsa-44"  # the name of the file with the head's own second line
_SHORTEST_ML_DSA = 3000  # bytes of a line: 2,432 in base64; an Ed25519 one has some 150
_LOOKED_AT = 10_000  # anchors that an answer carried by hand may belong to: a year of hourly ones


class UnmatchedError(VaultError):
    """A file from outside that belongs to nothing that was asked."""

    code = "vault.anchor_unmatched"
    sentence = (
        "{file} is no evidence that this station asked for ({why}). Nothing was kept; carry the file that answers a "
        "request of `sealdock anchor request`, and check the names and roots in the settings."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Outcome:
    """What became of one source in a round."""

    kind: str
    name: str
    at: datetime | None = None  # by the source's own clock; None when it gave nothing
    why: str = ""
    conflict: Conflict | None = None


@dataclass(frozen=True)
class Gathered:
    """What a round brought."""

    anchor: Anchor
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> frozenset[str]:
        """Names of the sources to ask again."""
        return frozenset(one.name for one in self.outcomes if one.at is None)

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Alarms."""
        return tuple(one.conflict for one in self.outcomes if one.conflict)


@dataclass(frozen=True)
class Gatherer:
    """Everybody whom this station asks, and where the answers go.

    `signers` are the station's own further keys by the name of their file (sm2): their lines stand beside the evidence
    from outside and are none.
    """

    store: AnchorStore
    alarms: Path
    authorities: Sequence[Authority] = ()
    witnesses: Sequence[Witness] = ()
    signers: dict[str, Cosigner] = field(default_factory=dict)

    @property
    def sources(self) -> list[Source]:
        """Everybody outside."""
        return [*self.authorities, *self.witnesses]

    @property
    def asks(self) -> bool:
        """Whether a round by itself can bring anything; where everything is carried by hand, a person begins it."""
        return any(one.url for one in self.sources) or bool(self.signers)

    def gather(self, only: Collection[str] | None = None) -> Gathered:
        """One round over the log's head, asking those that have an address (or `only` some of them).

        Raises HistoryError for a log that does not continue its own anchors, and what a damaged log raises.
        """
        head, note = self.store.reader.checkpoint()
        self.store.check_history(head)
        anchor = self.store.pin(note)
        outcomes = list(self._signed(anchor, note))
        for source in self.sources:
            wanted = only is None or source.name in only
            if source.url and wanted and not anchor.path(source.kind, source.name).exists():
                outcomes.append(self._asked(source, anchor))
        return Gathered(anchor, tuple(outcomes))

    def missing(self, anchor: Anchor) -> frozenset[str]:
        """Names of the sources with an address whose evidence over `anchor` is not here yet."""
        there = {(kind, name) for kind, name, _ in anchor.files()}
        return frozenset(one.name for one in self.sources if one.url and (one.kind, one.name) not in there)

    def has_grown(self) -> bool:
        """Whether the log has entries beyond its newest anchor other than anchors' own.

        Without the exception every anchor would ask for the next, and an idle station would never be quiet.
        """
        newest, size = self.store.newest(), self.store.reader.size
        if newest is None:
            return size > 0
        leaves = self.store.reader.leaves(newest.size, size)
        return newest.size < size and any(leaf.type != ANCHOR for leaf in leaves)

    def accept(self, file: str, raw: bytes) -> tuple[Anchor, Outcome]:
        """Keep evidence that was carried here by hand: a reply, or a witness's lines. Raises UnmatchedError."""
        why = "there is no authority and no witness in the settings"
        for anchor in self._recent():
            note = anchor.note()
            for source in self.sources:
                try:
                    proven = source.judge(note, raw)
                except VaultError as cause:
                    why = str(cause.parameters.get("why", cause))
                    continue
                return anchor, self._kept(source, anchor, proven)
        raise UnmatchedError(file=file, why=why)

    def _recent(self) -> Iterator[Anchor]:
        for _, anchor in zip(range(_LOOKED_AT), self.store.newest_first(), strict=False):
            yield anchor

    def _asked(self, source: Source, anchor: Anchor) -> Outcome:
        try:
            return self._kept(source, anchor, source.gather(self.store, anchor, self.alarms))
        except ConflictError as cause:
            return Outcome(source.kind, source.name, why=str(cause), conflict=cause.conflict)
        except VaultError as cause:
            return Outcome(source.kind, source.name, why=str(cause))

    def _kept(self, source: Source, anchor: Anchor, proven: Proven) -> Outcome:
        if not anchor.path(
            source.kind, source.name
        ).exists():  # the first answer stands; a second binds no more
            self.store.keep(anchor, source.kind, source.name, proven.raw)
        return Outcome(source.kind, source.name, proven.at)

    def _signed(self, anchor: Anchor, head: bytes) -> Iterator[Outcome]:
        """Our own further lines over the anchored checkpoint: those that the head carries, and those of `signers`."""
        parsed, at = Note.parse(head), utc_now()
        lines = {name: partial(signer.line, parsed.text, at) for name, signer in self.signers.items()}
        for line in (one.line for one in parsed.signatures):
            if claimed_at(line) and len(line) > _SHORTEST_ML_DSA:
                lines[ML_DSA] = partial(bytes, line)
        for name, make in lines.items():
            if anchor.path("signature", name).exists():
                continue
            try:
                self.store.keep(anchor, "signature", name, make())
            except VaultError as cause:
                yield Outcome("signature", name, why=str(cause))
            else:
                yield Outcome("signature", name, at)
