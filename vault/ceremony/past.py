"""What a log has said about keys so far: who signs what, whom buckets are wrapped to, which keys are not believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vault.ceremony.rule import COMPROMISE, ROOT
from vault.formats.entry import Leaf
from vault.log.bucket_rule import BUCKET, Commitments
from vault.log.ledger import LogReader

GENESIS, KEY = "genesis", "key"
NOTABLE = tuple(f'"type":"{kind}"'.encode() for kind in (GENESIS, KEY, ROOT, COMPROMISE, BUCKET))


@dataclass(frozen=True)
class KnownKey:
    """A key that an entry names. `vkey` is a recipient for root and recovery."""

    name: str
    vkey: str
    index: int
    time: str
    permits: tuple[str, ...] = ()


@dataclass
class Past:
    """Read from the log, oldest entry first."""

    keys: dict[str, list[KnownKey]] = field(default_factory=dict)  # by name, the newest last
    root: str = ""
    recovery: tuple[str, ...] = ()
    compromised: dict[str, str] = field(default_factory=dict)  # key's text: since when
    commitments: Commitments = field(default_factory=Commitments)
    origin: str = ""

    @classmethod
    def read(cls, reader: LogReader) -> Past:
        """Everything up to the newest checkpoint; a glance at each entry, so a long log takes seconds."""
        past = cls(origin=reader.vault.origin)
        for index, raw in enumerate(reader.raws()):
            if any(mark in raw for mark in NOTABLE):
                past.take(index, Leaf.parse(raw))
        return past

    def take(self, index: int, leaf: Leaf) -> None:
        """Learn from one entry; other types are passed over."""
        facts = leaf.facts
        if leaf.type == GENESIS:
            self._add(KnownKey(self.origin, facts["key"], index, leaf.time))
        if leaf.type in {GENESIS, ROOT}:
            self._take_readers(index, leaf)
        elif leaf.type == KEY:
            self._add(KnownKey(facts["name"], facts["vkey"], index, leaf.time, tuple(facts["permits"])))
        elif leaf.type == COMPROMISE:
            self.compromised[facts["vkey"]] = facts["since"]
        self.commitments.take(leaf)

    def current(self, name: str) -> KnownKey | None:
        """The newest key of that name."""
        return self.keys[name][-1] if name in self.keys else None

    def everything(self) -> Iterable[KnownKey]:
        """All keys, by name and age."""
        return (key for keys in self.keys.values() for key in keys)

    def _take_readers(self, index: int, leaf: Leaf) -> None:
        recovery = leaf.facts["recovery"]
        self.root = leaf.facts["root"]
        self.recovery = (recovery,) if isinstance(recovery, str) else tuple(recovery)
        for name, texts in (("root", (self.root,)), ("recovery", self.recovery)):
            for text in texts:
                if text not in [known.vkey for known in self.keys.get(name, [])]:
                    self._add(KnownKey(name, text, index, leaf.time))

    def _add(self, key: KnownKey) -> None:
        self.keys.setdefault(key.name, []).append(key)
