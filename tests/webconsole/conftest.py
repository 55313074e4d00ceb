"""A console over a real vault, database and outbox; each test has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from flask import Blueprint, Flask
from flask.testing import FlaskClient

import casework.projection
from casework.permission import Role
from core.db import Database
from core.settings import Settings
from vault.derived import DerivedStore
from vault.founding import initialise
from vault.keyd import KeydClient
from vault.ledger import LogReader
from vault.note import SigningKey
from vault.objects import Vault
from vault.outbox import Projections, Submitter
from webconsole.app import create_app
from webconsole.auth import account as accounts
from webconsole.auth import cookie, session
from webconsole.auth import password as passwords
from webconsole.auth.account import Account
from webconsole.context import ConsoleContext

PASSWORD = "evidence stays as it was"
PASSPHRASE = b"a passphrase of the tests"


@dataclass
class House:
    """A founded vault and what the console's process has of it."""

    settings: Settings
    context: ConsoleContext
    projections: Projections
    password: str = PASSWORD

    @property
    def db(self) -> Database:
        return self.context.db

    def account(self, username: str, *roles: Role, officer_id: str | None = None) -> Account:
        """A new account with PASSWORD."""
        with self.db.writing() as work:
            return accounts.create_account(
                work, self.context.submitter, username, username.title(), roles, PASSWORD, officer_id
            )

    @staticmethod
    def token(page: str) -> str:
        """The synchroniser token written into a page."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
        assert found is not None
        return found[1]

    def post(self, client: FlaskClient, path: str, **fields: str) -> TestResponse:
        """Send a form as a page of the console would."""
        token = self.token(client.get("/sign-in/code").text or client.get("/sign-in").text)
        return client.post(path, data={"csrf_token": token, **fields})

    def sign_in(self, client: FlaskClient, account: Account, *, awaits_factor: bool = False) -> str:
        """Put the client into a session of the account without the form; gives the session's token."""
        with self.db.writing() as work:
            token = session.begin(work, account, "127.0.0.1", awaits_factor=awaits_factor)
        client.set_cookie(cookie.SESSION, token)
        return token


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()], cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least cost, for tests that are not about its cost."""
    monkeypatch.setattr(passwords, "MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "PASSES", 1)


@pytest.fixture
def house(tmp_path: Path, cheap_passwords: None) -> Iterator[House]:
    settings = Settings(vault=tmp_path / "vault", state=tmp_path / "state", keys=tmp_path / "keys")
    settings.run.mkdir(parents=True)
    initialise(settings.vault, settings.keys, PASSPHRASE)
    vault, db = Vault.open(settings.vault), Database(settings.database_url)
    projections = Projections()
    accounts.register(projections)
    casework.projection.register(projections, settings.station.timezone)
    db.create_tables()
    signer = SigningKey.read(settings.keys / "console.key")
    context = ConsoleContext(
        settings=settings,
        db=db,
        vault=vault,
        reader=LogReader(vault),
        submitter=Submitter(signer, projections, settings.run / "vaultd.bell"),
        keyd=KeydClient(settings.run / "keyd.sock", signer),
        derived=DerivedStore(settings.derived, vault),
        signer=signer,
    )
    yield House(settings, context, projections)
    db.close()


@pytest.fixture
def app(house: House) -> Flask:
    return create_app(house.context)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def make_app(house: House) -> Callable[..., Flask]:
    """The application with blueprints of the test beside those it needs to write a page."""

    def make(*blueprints: Blueprint) -> Flask:
        from webconsole.routes import BLUEPRINTS  # noqa: PLC0415  # only these tests need the views

        return create_app(house.context, [*BLUEPRINTS, *blueprints])

    return make
