"""Statements as they come back out of the entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.clock import new_id, stamp, utc_now
from core.db import Database
from ingest.stated import StatementPage, apply_page, apply_session, statement_of
from ingest.statement import Fate, Rows, Sealable, StatementError, make_statement, sealable
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'dock.db'}")
    made.create_tables()
    yield made
    made.close()


def stated(count: int, session_id: str) -> tuple[dict[str, Any], Sealable]:
    rows = Rows()
    for number in range(count):
        rows.omitted(Fate.LEFT_OUT, f"DCIM/{number:06d}/a name that takes its room.jpg", size=number)
    whole = make_statement({"session": session_id}, rows, (), (), ())
    return whole, sealable(whole)


def keep(db: Database, session_id: str, made: Sealable) -> None:
    def entry(kind: str, one: str, facts: dict[str, Any], fields: dict[str, Any]) -> AppliedEntry:
        leaf = Leaf(id=one, type=kind, time=stamp(utc_now()), by="dockd", facts=facts)
        return AppliedEntry(leaf, fields, 1)

    with db.writing() as session:
        for number, page in enumerate(made.pages, 1):
            facts = {"session": session_id, "page": number, "pages": len(made.pages)}
            apply_page(session, entry("statement", page.id, facts, page.lists))
        apply_session(session, entry("session", session_id, {}, {"statement": made.head}))


@pytest.mark.parametrize("count", [3, 20_000])
def test_a_statement_comes_back_whole(db: Database, count: int) -> None:
    session_id = new_id()
    whole, made = stated(count, session_id)
    assert bool(made.pages) is (count > 3)
    keep(db, session_id, made)
    with db.reading() as session:
        assert statement_of(session, session_id, made.counts()) == whole


def test_a_session_without_one_has_none(db: Database) -> None:
    with db.reading() as session:
        assert statement_of(session, new_id(), None) is None


def test_a_page_that_is_gone_or_changed_is_told(db: Database) -> None:
    session_id = new_id()
    _, made = stated(20_000, session_id)
    keep(db, session_id, made)
    with db.writing() as session:
        page = session.get_one(StatementPage, made.pages[0].id)
        page.lists = {"files": []}
    with db.reading() as session, pytest.raises(StatementError, match="page 1 is another one"):
        statement_of(session, session_id, made.counts())
    with db.writing() as session:
        session.delete(session.get_one(StatementPage, made.pages[0].id))
    with db.reading() as session, pytest.raises(StatementError, match="pages"):
        statement_of(session, session_id, made.counts())


def test_a_short_one_that_counts_otherwise_than_the_log_is_told(db: Database) -> None:
    session_id = new_id()
    _, made = stated(3, session_id)
    keep(db, session_id, made)
    with db.reading() as session, pytest.raises(StatementError, match="counts other things"):
        statement_of(session, session_id, made.counts() | {"omitted": 4})
