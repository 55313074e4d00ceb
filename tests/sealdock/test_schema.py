from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from core.db import Database
from sealdock import schema


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'sealdock.db'}")
    yield database
    database.close()


def test_an_empty_database_is_refused_with_what_to_do(db: Database) -> None:
    with pytest.raises(schema.SchemaError, match="sealdock db upgrade"):
        schema.require_current(db)


COMPARE = """
import sys
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from core.db import Base, Database
from sealdock import schema, wiring
db = Database(sys.argv[1])
schema.upgrade(db)
schema.require_current(db)
with db.engine.connect() as connection:
    print(compare_metadata(MigrationContext.configure(connection), Base.metadata))
"""


def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    """In a process of its own: other tests declare tables too."""
    argv = [sys.executable, "-c", COMPARE, f"sqlite:///{tmp_path / 'sealdock.db'}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_going_down_leaves_nothing_and_up_again_works(db: Database) -> None:
    schema.upgrade(db)
    schema.downgrade(db, "base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade(db)
    schema.require_current(db)
