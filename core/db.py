"""The database: a projection of the log and a workspace, never the truth.

SQLite runs in WAL with `synchronous=FULL`, because NORMAL loses acknowledged commits in a power cut
(measured, ADR 0013). Every writing transaction is `BEGIN IMMEDIATE`, so two writers queue instead
of failing half-way. The same code runs on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Engine, MetaData, create_engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

BUSY_TIMEOUT_MS = 30_000  # a writer waits for its turn; the longest transaction here is well under a second


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, kept in SQLite as naive UTC and given back aware."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive times on the way in."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time must not reach the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give back aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The parent of every table in the house."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """One database, by URL; hands out transactions and nothing else."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that holds the writer's place from its first line; commits whole or not at all."""
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"sealdock_writing": True})
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent look that changes nothing and holds up nobody."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def create_tables(self) -> None:
        """Make every table of the imported packages (tests, and the first migration's check)."""
        Base.metadata.create_all(self.engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what was scrubbed, or left the outbox, is not left in free pages either
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writing = connection.get_execution_options().get("sealdock_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
