from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.house import PASSPHRASE, House
from sqlalchemy import select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.db import Base, Database
from vault.formats.proof import Receipt
from vault.log.edge import LogDamagedError
from vault.log.index import EntryAbout, EntryRow, ReceiptRow, custody, receipt_of, reindex
from vault.log.outbox import AppliedEntry, OutboxRow, RowState
from vault.log.submission import Draft
from vault.store.keys import Keyring


class Row(Base):
    """A projection of everything."""

    __tablename__ = "index_test_row"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    words: Mapped[str]
    index: Mapped[int | None]


def project(session: Session, entry: AppliedEntry) -> None:
    words = "disposed" if entry.fields is None else str(sorted(entry.fields.items()))
    session.merge(Row(id=entry.leaf.id, type=entry.leaf.type, words=words, index=entry.index))


@pytest.fixture
def used(house: House) -> House:
    for kind in ("case", "ingest", "view"):
        house.projections.on(kind, project)
    house.projections.owns(Row)
    recording = house.ingest(b"footage" * 100)
    house.case(body={"title": "占道经营"})
    house.submit("console", Draft("view", about=(recording,), facts={"purpose_code": "case"}))
    house.submit("dockd", Draft("link", about=(recording,)))  # refused
    house.settle()
    return house


@pytest.fixture
def empty(used: House) -> Iterator[Database]:
    database = Database(f"sqlite:///{used.directory / 'fresh.db'}")
    database.create_tables()
    yield database
    database.close()


def contents(database: Database, *tables: Any) -> list[Any]:
    with database.reading() as session:
        return [
            sorted(tuple(row) for row in session.execute(select(*table.__table__.columns)))
            for table in tables or (Row, EntryRow, EntryAbout)
        ]


def test_a_lost_database_comes_back_from_the_vault_and_the_root(used: House, empty: Database) -> None:
    keyring = Keyring.unlock(used.vault, used.keys, PASSPHRASE)
    done: list[tuple[int, int]] = []
    found = reindex(used.vault, keyring, empty, used.projections, lambda *at: done.append(at))
    assert contents(empty) == contents(used.db)
    assert (found.entries, found.bodies, found.unavailable) == (used.reader.size, 2, ())
    assert done == [(used.reader.size,) * 2]


def test_the_recovery_identity_serves_as_well(used: House, empty: Database) -> None:
    reindex(used.vault, used.keyring, empty, used.projections)
    assert contents(empty) == contents(used.db)


def test_receipts_come_back_and_hold(used: House, empty: Database) -> None:
    reindex(used.vault, used.keyring, empty, used.projections)
    with empty.reading() as session:
        receipts = list(session.scalars(select(ReceiptRow)))
    assert len(receipts) == 1
    assert Receipt.parse(receipts[0].text).verify(used.vault.verifier).id == receipts[0].entry_id


def test_reindexing_what_is_whole_changes_nothing(used: House) -> None:
    before = contents(used.db)
    reindex(used.vault, used.keyring, used.db, used.projections)
    assert contents(used.db) == before
    used.case()
    used.settle()
    assert used.verify().ok


def test_a_row_that_somebody_slipped_in_is_gone_after_a_reindex(used: House) -> None:
    before = contents(used.db)
    with used.db.writing() as session:
        session.add(Row(id="x", type="case", words="forged", index=99))
        session.add(EntryRow(index=99, id="x", type="case", time="", by="console"))
    reindex(used.vault, used.keyring, used.db, used.projections)
    assert contents(used.db) == before


def test_a_body_that_was_disposed_of_is_shown_as_disposed(used: House, empty: Database) -> None:
    path = used.vault.slots.path(0)
    path.write_bytes(bytes(path.stat().st_size))
    found = reindex(used.vault, used.keyring, empty, used.projections)
    assert (found.bodies, found.unavailable) == (0, ())
    assert {row[2] for row in contents(empty, Row)[0]} == {"disposed"}


def test_a_damaged_body_is_counted_and_the_rest_comes_back(used: House, empty: Database) -> None:
    path = used.vault.packs.path(0)
    raw = bytearray(path.read_bytes())
    raw[-9] ^= 1
    path.write_bytes(raw)
    found = reindex(used.vault, used.keyring, empty, used.projections)
    assert len(found.unavailable) <= 1
    assert found.entries == used.reader.size
    assert found.bodies + len(found.unavailable) == 2


def test_an_entry_that_was_changed_in_its_bundle_leaves_the_database_as_it_was(used: House) -> None:
    path = used.vault.log_path / f"tile/entries/000.p/{used.reader.size}"
    path.write_bytes(path.read_bytes().replace(b'"purpose_code":"case"', b'"purpose_code":"view"'))
    before = contents(used.db)
    with pytest.raises(LogDamagedError, match="another root"):
        reindex(used.vault, used.keyring, used.db, used.projections)
    assert contents(used.db) == before


def test_what_still_waits_is_projected_again_behind_the_log(used: House) -> None:
    waiting = used.case(body={"title": "waits"})
    reindex(used.vault, used.keyring, used.db, used.projections)
    with used.db.reading() as session:
        row = session.get(Row, waiting)
    assert row
    assert row.index is None
    assert "waits" in row.words
    used.settle()
    assert used.row(waiting).state == RowState.SEQUENCED


def test_an_entry_that_cannot_be_projected_is_counted_and_the_rest_comes_back(
    used: House, empty: Database
) -> None:
    before = contents(used.db, Row)[0]

    def cannot(_session: Session, entry: AppliedEntry) -> None:
        str(entry.leaf.facts["rendition"])

    used.projections.on("view", cannot)
    found = reindex(used.vault, used.keyring, empty, used.projections)
    assert [used.reader.leaf(index).type for index in found.unprojected] == ["view"]
    assert contents(empty, Row)[0] == [row for row in before if row[1] != "view"]


def test_noise_that_waits_does_not_stop_a_reindex(used: House) -> None:
    waiting = used.case()
    with used.db.writing() as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == waiting).values(note="noise", body=[]))
    assert reindex(used.vault, used.keyring, used.db, used.projections).entries == used.reader.size


def test_a_reindex_leaves_no_plaintext_in_the_outbox(used: House) -> None:
    with used.db.writing() as session:
        for row in session.scalars(select(OutboxRow)):
            row.state, row.entry_index, row.body = (
                RowState.PENDING,
                None,
                {"salt": "", "fields": {"title": "x"}},
            )
    reindex(used.vault, used.keyring, used.db, used.projections)
    assert [row.body for row in used.rows()] == [None] * 4


def test_an_older_database_learns_what_became_of_its_submissions(used: House) -> None:
    with used.db.writing() as session:
        for row in session.scalars(select(OutboxRow)):
            row.state, row.entry_index = RowState.PENDING, None
    reindex(used.vault, used.keyring, used.db, used.projections)
    assert [row.state for row in used.rows()] == [*[RowState.SEQUENCED] * 3, RowState.REFUSED]


def test_custody_is_every_entry_about_a_subject_in_order(used: House) -> None:
    recording = next(row.id for row in used.rows() if row.type == "ingest")
    with used.db.reading() as session:
        chain = custody(session, recording)
        assert [row.type for row in chain] == ["ingest", "view"]
        assert [row.index for row in chain] == sorted(row.index for row in chain)
        assert custody(session, "01K8Z3V9Q2M4T6X8A0B2C4D6EF") == []
        assert receipt_of(session, "01K8Z3V9Q2M4T6X8A0B2C4D6EF") is None


def test_nothing_but_the_vault_directory_is_needed(used: House, empty: Database, tmp_path: Path) -> None:
    used.keys.rename(tmp_path / "elsewhere")
    reindex(used.vault, used.keyring, empty, used.projections)
    assert contents(empty) == contents(used.db)
