from __future__ import annotations

from bureau.desk import PASSPHRASE, Disclosed
from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.log.index import reindex
from vault.store.keys import Keyring

WORKSPACE = (
    "badge_salt",
    "denial_count",
    "officer_credential",
)  # secrets, and counts that are not on the log yet


def everything(session: Session, disclosed: Disclosed) -> dict[str, list[tuple[object, ...]]]:
    tables = [table for table in disclosed.station.projections.tables if table.__tablename__ not in WORKSPACE]
    return {
        table.__tablename__: sorted(
            map(tuple, session.execute(select(*table.__table__.columns))),
            key=repr,
        )
        for table in tables
    }


def test_after_a_reindex_every_table_is_as_before(disclosed: Disclosed) -> None:
    station = disclosed.station
    station.settle()
    with station.db.reading() as session:
        before = everything(session, disclosed)
    assert all(
        before[name]
        for name in ("recording", "case_file", "exhibit", "case_link", "viewing", "disclosure", "officer")
    )
    keyring = Keyring.unlock(station.vault, station.keys, PASSPHRASE)
    assert reindex(station.vault, keyring, station.db, station.projections).unavailable == ()
    with station.db.reading() as session:
        assert everything(session, disclosed) == before


def test_every_projected_table_is_emptied_by_a_reindex(disclosed: Disclosed) -> None:
    from core.db import Base  # noqa: PLC0415

    ours = {
        mapper.class_.__tablename__
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.startswith("casework")
    }
    owned = {table.__tablename__ for table in disclosed.station.projections.tables}
    assert ours - owned == set(WORKSPACE)
