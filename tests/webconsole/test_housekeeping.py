from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from casework.access.permission import Permission, Role
from casework.evidence.viewing import DenialCount, record_denied
from core.clock import utc_now
from vault.log.outbox import OutboxRow
from webconsole import housekeeping
from webconsole.auth.session import IDLE, WebSession, begin

if TYPE_CHECKING:
    from conftest import House


def test_refusals_reach_the_log_without_another(house: House) -> None:
    account = house.account("admin", Role.ADMINISTRATOR)
    with house.db.writing() as work:
        record_denied(work, house.context.submitter, account.id, Permission.RECORDING_WATCH)
        work.execute(update(DenialCount).values(minute=utc_now() - timedelta(minutes=2)))
    assert housekeeping.tidy(house.context) == 1
    with house.db.reading() as work:
        assert work.scalars(select(OutboxRow.type).order_by(OutboxRow.seq.desc())).first() == "denied"
        assert work.scalars(select(DenialCount)).all() == []
    assert housekeeping.tidy(house.context) == 0


def test_sessions_that_are_over_go(house: House) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        begin(work, account, "127.0.0.1")
        work.execute(update(WebSession).values(seen_at=utc_now() - IDLE - timedelta(seconds=1)))
        begin(work, account, "127.0.0.2")
    housekeeping.tidy(house.context)
    with house.db.reading() as work:
        assert work.scalars(select(WebSession.address)).all() == ["127.0.0.2"]


def test_it_goes_on_until_it_is_stopped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "EVERY_S", 0.01)
    rounds, enough = [], threading.Event()

    def count(context: object) -> int:
        rounds.append(context)
        if len(rounds) == 3:
            enough.set()
        return 0

    monkeypatch.setattr(housekeeping, "tidy", count)
    stop = threading.Event()
    thread = housekeeping.start(house.context, stop)
    assert enough.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
