"""Log rules: what vaultd checks before an entry gets its place, with nothing but the log to go by.

Packages register their rules in sealdock/wiring.py. A rule is a pure function of the log and the new entry; it never
sees the database, because on SQLite any process could have changed a table, and it raises RefusedError to refuse.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Protocol

from vault.formats.entry import Leaf
from vault.formats.note import VerifierKey
from vault.log.outbox import RefusedError

NOTED = frozenset({"key", "bucket"})  # types of entry that vaultd reads again at every start, to learn from
_ROWS_AT_ONCE = 8192
INGEST = "ingest"  # the one type of entry that seals an object


GRANTS = ("view", "export")
"""Entries for which keyd gives out a key; their time is a credential, every other entry's is a statement."""


class LogView(Protocol):
    """The log as a rule sees it: every entry before the new one."""

    @property
    def size(self) -> int:
        """How many entries there are."""

    def leaf(self, index: int) -> Leaf:
        """Entry `index`."""

    def find(self, entry_id: str) -> int | None:
        """The index of an entry, by its id."""

    def about(self, subject_id: str, *types: str) -> list[int]:
        """The indices of the entries that name this subject, oldest first; of these types only, when any is named.

        A rule names them: of a recording that was proven every week for years it reads what it needs.
        """


Rule = Callable[[LogView, Leaf], None]


class Rules:
    """The registry: every rule of a type must pass, and before them every rule that holds for all."""

    def __init__(self) -> None:
        self._always: list[Rule] = []
        self._rules: dict[str, list[Rule]] = defaultdict(list)

    def always(self, rule: Rule) -> None:
        """Check entries of every type with `rule`."""
        self._always.append(rule)

    def on(self, entry_type: str, rule: Rule) -> None:
        """Check entries of this type with `rule`, after the rules registered before it."""
        self._rules[entry_type].append(rule)

    def check(self, log: LogView, leaf: Leaf) -> None:
        """Raises RefusedError when a rule does."""
        for rule in (*self._always, *self._rules.get(leaf.type, ())):
            rule(log, leaf)


def register(rules: Rules) -> None:
    """The vault's own rules, whatever the packages above it put on the log."""
    rules.always(only_ingest_seals)
    rules.on("key", key_is_whole)


def only_ingest_seals(_log: LogView, leaf: Leaf) -> None:
    """Only an ingest entry has an object, and an ingest entry has one: what is called a recording can be opened."""
    if (leaf.type == INGEST) != (leaf.object is not None):
        raise RefusedError(why="an ingest entry seals an object, and no other entry does")


def key_is_whole(_log: LogView, leaf: Leaf) -> None:
    """A key entry names a process, its key and what it may submit: `Register.take` must understand it for ever."""
    facts = leaf.facts
    texts = [facts.get("name"), facts.get("vkey"), *_list(facts.get("permits"))]
    if set(facts) != {"name", "vkey", "permits"} or not all(isinstance(text, str) for text in texts):
        raise RefusedError(why="a key entry names a process, its key and its types of entry")
    if VerifierKey.parse(facts["vkey"]).name != facts["name"]:
        raise RefusedError(why="the key is another process's")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


class Register:
    """The process keys that `key` entries have put on the log: a later entry for a name replaces the earlier."""

    def __init__(self) -> None:
        self.verifiers: dict[str, VerifierKey] = {}
        self._permits: dict[str, frozenset[str]] = {}

    def take(self, leaf: Leaf) -> None:
        """Learn from one entry; other types are passed over. Raises VaultError for a malformed key entry."""
        if leaf.type == "key":
            name = leaf.facts["name"]
            self.verifiers[name] = VerifierKey.parse(leaf.facts["vkey"])
            self._permits[name] = frozenset(leaf.facts["permits"])

    def permits(self, name: str, entry_type: str) -> bool:
        """Whether the process of this name may put such an entry on the log."""
        return entry_type in self._permits.get(name, frozenset())


class Lookup:
    """Where ids and subjects stand on the log; made from the log or from a kept copy (vault.log.kept) at every start.

    It lives in a private SQLite file that is unlinked as it is opened, so memory stays flat however long the log is
    and nobody else can write in it.
    """

    def __init__(self, private: Path | None = None) -> None:
        """Empty, or what a file of this process holds already; its name goes away here."""
        self._table = sqlite3.connect(private or "", isolation_level=None, check_same_thread=False)
        self._table.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE IF NOT EXISTS place(id TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS subject(id TEXT, at INTEGER, type TEXT, PRIMARY KEY(id, at)) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS noted(at INTEGER PRIMARY KEY);"
        )
        if private is not None:
            private.unlink()

    def add(self, entries: Iterable[tuple[int, str, Iterable[str], str]]) -> None:
        """Take (index, id, subjects, type) of entries that are on the log; thousands at once cost the least."""
        waiting = iter(entries)
        self._table.execute("BEGIN")
        while part := list(islice(waiting, _ROWS_AT_ONCE)):
            # a refused id is about itself; the first place counts
            self._table.executemany(
                "INSERT OR IGNORE INTO place VALUES (?, ?)",
                [(entry_id, index) for index, entry_id, _, _ in part],
            )
            self._table.executemany(
                "INSERT OR IGNORE INTO subject VALUES (?, ?, ?)",
                [(subject, index, entry_type) for index, _, about, entry_type in part for subject in about],
            )
        self._table.execute("COMMIT")

    def note(self, indices: Iterable[int]) -> None:
        """Remember entries that have to be read again at every start (NOTED)."""
        self._table.executemany("INSERT OR IGNORE INTO noted VALUES (?)", [(index,) for index in indices])

    def noted(self) -> list[int]:
        """What `note` was given, oldest first."""
        return [int(row[0]) for row in self._table.execute("SELECT at FROM noted ORDER BY at")]

    def copy_to(self, path: Path) -> None:
        """Write everything to a new file; not durable yet."""
        with closing(sqlite3.connect(path)) as target:
            target.execute("PRAGMA synchronous=OFF")
            self._table.backup(target)

    def find(self, entry_id: str) -> int | None:
        """The index of an entry, or None."""
        row = self._table.execute("SELECT at FROM place WHERE id = ?", (entry_id,)).fetchone()
        return None if row is None else int(row[0])

    def about(self, subject_id: str, *types: str) -> list[int]:
        """As LogView."""
        rows = self._table.execute("SELECT at, type FROM subject WHERE id = ? ORDER BY at", (subject_id,))
        return [int(at) for at, entry_type in rows if not types or entry_type in types]

    def close(self) -> None:
        """Forget everything."""
        self._table.close()


def skim(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Id and subjects of an entry that this log already holds, without checking it again."""
    value = json.loads(raw)
    return value["id"], tuple(value.get("about", ()))


def skim_whole(raw: bytes) -> tuple[str, tuple[str, ...], str]:
    """Id, subjects and type, as `Lookup.add` takes them."""
    return *skim(raw), skim_type(raw)


def skim_type(raw: bytes) -> str:
    """The type of an entry that this log already holds: its spelling ends with type and version."""
    return raw[raw.rindex(b'"type":"') + 8 : raw.rindex(b'","v":')].decode()
