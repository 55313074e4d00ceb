from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.db import Database, UtcDateTime

FULL = 2  # sqlite.org/pragma.html#pragma_synchronous


class OwnBase(DeclarativeBase):
    pass  # beside the house's tables, so that no other test sees these


class Ship(OwnBase):
    __tablename__ = "ship"

    id: Mapped[int] = mapped_column(primary_key=True)
    sailed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Sailor(OwnBase):
    __tablename__ = "sailor"

    id: Mapped[int] = mapped_column(primary_key=True)
    ship_id: Mapped[int] = mapped_column(ForeignKey("ship.id"))


@pytest.fixture
def harbour(database: Database) -> Database:
    OwnBase.metadata.create_all(database.engine)
    return database


def ships(db: Database) -> int:
    with db.reading() as session:
        return len(session.scalars(select(Ship)).all())


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("synchronous", FULL), ("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_every_connection_follows_the_recipe(database: Database, pragma: str, value: object) -> None:
    with database.reading() as one, database.reading() as other:
        for session in (one, other):
            assert session.execute(text(f"PRAGMA {pragma}")).scalar_one() == value


def test_a_row_that_points_nowhere_is_refused(harbour: Database) -> None:
    with pytest.raises(IntegrityError), harbour.writing() as session:
        session.add(Sailor(id=1, ship_id=99))


def test_a_transaction_is_there_whole_for_the_next_reader(harbour: Database) -> None:
    with harbour.writing() as session:
        session.add(Ship(id=1))
        session.flush()
        assert ships(harbour) == 0
    assert ships(harbour) == 1


def test_an_error_takes_everything_back(harbour: Database) -> None:
    def sink() -> None:
        with harbour.writing() as session:
            session.add(Ship(id=1))
            session.flush()
            raise RuntimeError("storm")

    with pytest.raises(RuntimeError, match="storm"):
        sink()
    assert ships(harbour) == 0
    with harbour.writing() as session:  # and the writer's place is free again
        session.add(Ship(id=1))


def test_what_is_written_while_reading_is_not_kept(harbour: Database) -> None:
    with harbour.reading() as session:
        session.add(Ship(id=1))
        session.flush()
    assert ships(harbour) == 0


def test_a_reader_sees_one_moment_and_holds_up_no_writer(harbour: Database) -> None:
    with harbour.reading() as session:
        assert session.scalars(select(Ship)).all() == []
        with harbour.writing() as writer:
            writer.add(Ship(id=1))
        assert session.scalars(select(Ship)).all() == []
    assert ships(harbour) == 1


def test_rows_stay_readable_after_their_transaction(harbour: Database) -> None:
    with harbour.writing() as session:
        ship = Ship(id=1, sailed_at=datetime(2026, 1, 1, tzinfo=UTC))
        session.add(ship)
    assert ship.sailed_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_writer_holds_its_place_from_the_first_line(
    harbour: Database, tmp_path: Path, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0).execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as refused:
    print(refused)
"""
    with harbour.writing():
        assert elsewhere(program, tmp_path / "sealdock.db").communicate()[0].strip() == "database is locked"
    assert elsewhere(program, tmp_path / "sealdock.db").communicate()[0].strip() == "free"


def test_writers_in_many_processes_queue_and_lose_nothing(
    database: Database, tmp_path: Path, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import sys
from sqlalchemy import text
from core.db import Database
db = Database(sys.argv[1])
for _ in range(25):
    with db.writing() as session:  # read, then write what was read: a lost update would show
        n = session.execute(text("SELECT n FROM counter")).scalar_one()
        session.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})
"""
    with database.writing() as session:
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))
    writers = [elsewhere(program, f"sqlite:///{tmp_path / 'sealdock.db'}") for _ in range(3)]
    for writer in writers:
        assert writer.communicate()[1] == ""
    with database.reading() as session:
        assert session.execute(text("SELECT n FROM counter")).scalar_one() == 75


@pytest.mark.crash
def test_a_writer_that_is_killed_leaves_nothing_and_blocks_nobody(
    harbour: Database, tmp_path: Path, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import os, signal, sys
from sqlalchemy import text
from core.db import Database
db = Database(sys.argv[1])
with db.writing() as session:
    session.execute(text("INSERT INTO ship (id) VALUES (1)"))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    elsewhere(program, f"sqlite:///{tmp_path / 'sealdock.db'}").communicate()
    assert ships(harbour) == 0
    with harbour.writing() as session:
        session.add(Ship(id=2))
    assert ships(harbour) == 1


def test_a_naive_time_never_reaches_the_database(harbour: Database) -> None:
    with pytest.raises(StatementError, match="naive time"), harbour.writing() as session:
        session.add(Ship(id=1, sailed_at=datetime(2026, 1, 1)))  # noqa: DTZ001


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=offsets) | st.none())  # noqa: DTZ001
def test_a_time_comes_back_aware_and_equal(moment: datetime | None) -> None:
    kind = UtcDateTime()
    kept = kind.process_bind_param(moment, None)  # type: ignore[arg-type]
    back = kind.process_result_value(kept, None)  # type: ignore[arg-type]
    assert back == moment
    assert back is None or back.tzinfo is UTC
