"""The database's schema, moved by Alembic migrations that are tested up and down."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from core.db import Database
from core.errors import SealdockError

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaError(SealdockError):
    """The database is not at the version this program was written for."""

    code = "sealdock.schema"
    sentence = "The database is at version {found}, this program needs {needed}. Run `sealdock db upgrade`."


def upgrade(db: Database, revision: str = "head") -> None:
    """Bring the database to `revision`; nothing to do is no error."""
    command.upgrade(_config(db), revision)


def downgrade(db: Database, revision: str) -> None:
    """Take the database back to `revision` (tests)."""
    command.downgrade(_config(db), revision)


def require_current(db: Database) -> None:
    """Raise SchemaError unless the database is at the newest version; daemons call it before anything else."""
    needed = ScriptDirectory.from_config(_config(db)).get_current_head()
    with db.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != needed:
        raise SchemaError(found=found or "empty", needed=needed)


def _config(db: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = db.engine
    return config
