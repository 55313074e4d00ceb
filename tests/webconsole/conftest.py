"""A console over a real vault, database and outbox; each test has its own."""

from __future__ import annotations

import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from support.root import opener

import casework.projection
from casework.access.permission import Role
from core import guessable
from core.clock import new_id, utc_now
from core.db import Database
from core.settings import Settings
from ingest.media_facts import MediaFacts
from vault.formats.note import SigningKey
from vault.founding import initialise
from vault.keyd import Keyd, KeydClient
from vault.log.index import wait_sequenced
from vault.log.ledger import LogReader
from vault.log.outbox import Projections, Submitter
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.store.deposit import Depositor
from vault.store.derived import DerivedStore
from vault.store.keys import Keyring, ensure_bucket
from vault.store.medium import Buffers
from vault.store.objects import Vault
from vault.vaultd import Vaultd
from webconsole.app import create_app
from webconsole.auth import account as accounts
from webconsole.auth import cookie, session
from webconsole.auth.account import Account
from webconsole.context import ConsoleContext
from webconsole.routes import BLUEPRINTS

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
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    monkeypatch.setattr(guessable, "PASSES", 1)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault and its keys, founded once; every test works on a copy."""
    directory = tmp_path_factory.mktemp("founded")
    initialise(directory / "vault", directory / "keys", PASSPHRASE)
    ensure_bucket(Vault.open(directory / "vault"), f"A-{utc_now():%Y-%m}")
    return directory


@pytest.fixture(scope="session")
def keyring(founded: Path) -> Keyring:
    """The root, unlocked once: scrypt takes its second on purpose."""
    return Keyring.unlock(Vault.open(founded / "vault"), founded / "keys", PASSPHRASE)


@pytest.fixture
def house(tmp_path: Path, founded: Path, cheap_passwords: None) -> Iterator[House]:
    for name in ("vault", "keys"):
        shutil.copytree(founded / name, tmp_path / name)
    settings = Settings(vault=tmp_path / "vault", state=tmp_path / "state", keys=tmp_path / "keys")
    settings.run.mkdir(parents=True)
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


@dataclass
class Station:
    """The house with vaultd and keyd at work, and what the worker would do."""

    house: House
    keyd: Keyd
    depositor: Depositor

    def seal(self, content: bytes, mime: str = "video/mp4", **fields: object) -> str:
        """A recording on the log, shown directly as `mime`; gives its id."""
        signer = SigningKey.read(self.house.settings.keys / "dockd.key")
        submitter = Submitter(signer, self.house.projections, self.house.settings.run / "vaultd.bell")
        deposit = self.depositor.deposit(io.BytesIO(content), self.bucket)
        body = {"name": "clip.mp4", "path": "DCIM/clip.mp4", "size": len(content), "damaged": False, **fields}
        facts = {"origin": "hand", "media": mime.split("/", maxsplit=1)[0], "session": new_id()}
        with self.house.db.writing() as work:
            submitter.submit(work, Draft("ingest", facts=facts, body=body, deposit=deposit))
            play = "direct" if mime else "none"
            work.add(MediaFacts(recording_id=deposit.id, media="video", play=play, mime=mime, proxy=False))
        submitter.ring()
        wait_sequenced(self.house.db, deposit.id, 20.0)
        return deposit.id

    def derive(self, recording_id: str, rendition: str, mime: str, content: bytes) -> None:
        """A derivative as the worker writes it."""
        signer = SigningKey.read(self.house.settings.keys / "worker.key")
        leaf = self.house.context.reader.leaf(wait_sequenced(self.house.db, recording_id, 20.0))
        self.house.context.derived.write(leaf, rendition, mime, [content], signer)

    @property
    def bucket(self) -> str:
        return f"A-{utc_now():%Y-%m}"


@pytest.fixture
def station(house: House, keyring: Keyring) -> Iterator[Station]:
    context, run = house.context, house.settings.run
    keys = {name: SigningKey.read(house.settings.keys / f"{name}.key") for name in ("log", "vaultd")}
    vaultd = Vaultd(
        context.vault, house.db, keys["log"], keys["vaultd"], Rules(), run / "vaultd.bell",
        projections=house.projections,
    )  # fmt: skip
    keyd = Keyd(context.vault, opener(context.vault, house.settings.keys), run / "keyd.sock")
    keyd._keyring = keyring
    stop = threading.Event()
    threads = [threading.Thread(target=part.run, args=(stop,)) for part in (vaultd, keyd)]
    for thread in threads:
        thread.start()
    try:
        yield Station(house, keyd, Depositor(context.vault, Buffers(4 * 1024 * 1024)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


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
        return create_app(house.context, [*BLUEPRINTS, *blueprints])

    return make
