"""What the station believes to be covered from outside, and what the erasing asks of it."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from support.authority import Authority

from core.errors import Exit
from core.settings import Settings, load
from ingest.erasing import Erasing
from ingest.workplace import keep_all
from sealdock.clearing import erase_by_policy, gates
from sealdock.command.dock import dock
from sealdock.schema import upgrade
from sealdock.wiring import Station
from vault.anchor.assembly import gatherer
from vault.formats import timestamp
from vault.founding import initialise
from vault.log.ledger import LogReader
from vault.store.objects import Vault

LINE: Any = None  # what is asked here seals nothing


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A station's settings, whose authority's root lies beside them."""
    initialise(tmp_path / "vault", tmp_path / "keys", b"nine lives of a lantern")
    (tmp_path / "sealdock.toml").write_text(
        'vault = "vault"\nstate = "state"\nkeys = "keys"\n[dock]\nmounts = "mounts"\n'
        '[[anchor.authorities]]\nname = "tsa"\nroots = "roots.pem"\n'
        '[dock.erase]\npolicy = "erase"\nreplicated = false\n'
    )
    return tmp_path


def opened(place: Path) -> tuple[Settings, LogReader]:
    return load(place / "sealdock.toml"), LogReader(Vault.open(place / "vault"))


def test_only_evidence_that_leads_to_a_root_of_the_settings_covers_anything(place: Path) -> None:
    settings, reader = opened(place)
    authority = Authority(place / "tsa")
    gather = gatherer(settings, reader)
    anchor = gather.gather().anchor
    reply = authority.answer(timestamp.query(anchor.note()).raw)
    gather.store.keep(anchor, "timestamp", "tsa", reply)
    assert gates(settings, reader).covered() == 0  # nobody vouches for the authority
    (place / "roots.pem").write_bytes(Authority(place / "other").roots)
    assert gates(settings, reader).covered() == 0
    (place / "roots.pem").write_bytes(authority.roots)
    assert gates(settings, reader).covered() == reader.size


def test_the_policy_decides_whether_anything_is_asked_at_all(place: Path) -> None:
    settings, reader = opened(place)
    assert isinstance(erase_by_policy(settings, reader, LINE, Event()), Erasing)
    text = (place / "sealdock.toml").read_text()
    (place / "sealdock.toml").write_text(text.replace('"erase"', '"keep"'))
    assert erase_by_policy(load(place / "sealdock.toml"), reader, LINE, Event()) is keep_all


def test_what_could_be_erased_is_counted_and_a_station_that_keeps_says_so(place: Path) -> None:
    settings = place / "sealdock.toml"
    upgrade(Station.load(settings).db)
    done = CliRunner().invoke(dock, ["erasable", "--json"], obj=settings)
    assert (done.exit_code, done.output.strip()) == (Exit.YES, "{}")
    settings.write_text(settings.read_text().replace('"erase"', '"keep"'))
    done = CliRunner().invoke(dock, ["erasable"], obj=settings)
    assert done.exit_code == Exit.NO
    assert "keep footage" in done.output
