from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from core.db import Base, Database
from sealdock import schema, wiring  # noqa: F401  importing wiring registers every table


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'sealdock.db'}")
    yield database
    database.close()


def test_an_empty_database_is_refused_with_what_to_do(db: Database) -> None:
    with pytest.raises(schema.SchemaError, match="sealdock db upgrade"):
        schema.require_current(db)


def test_the_migrations_make_exactly_the_tables_of_the_code(db: Database) -> None:
    schema.upgrade(db)
    schema.require_current(db)
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_going_down_leaves_nothing_and_up_again_works(db: Database) -> None:
    schema.upgrade(db)
    schema.downgrade(db, "base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade(db)
    schema.require_current(db)
