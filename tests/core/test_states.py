from __future__ import annotations

from enum import StrEnum
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.db import Database
from core.states import IllegalEventError, Machine, StateHistory, advance


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    DARK = "dark"


EVENTS = ("go", "stop", "fail")
CROSSING = Machine(
    name="crossing",
    states=Light,
    table={
        (Light.RED, "go"): Light.GREEN,
        (Light.GREEN, "stop"): Light.RED,
        (Light.RED, "fail"): Light.DARK,
        (Light.GREEN, "fail"): Light.DARK,
    },
)


class OwnBase(DeclarativeBase):
    pass  # beside the house's tables, so that no other test sees this one


class Crossing(OwnBase):
    __tablename__ = "test_crossing"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]


@pytest.fixture
def crossing(database: Database) -> Crossing:
    OwnBase.metadata.create_all(database.engine)
    row = Crossing(id="c1", state=Light.RED.value)
    with database.writing() as session:
        session.add(row)
    return row


def history(database: Database) -> list[tuple[str, str, str, str, str, str]]:
    with database.reading() as session:
        rows = session.scalars(select(StateHistory).order_by(StateHistory.id)).all()
    return [(r.machine, r.subject_id, r.before, r.event, r.after, r.reason) for r in rows]


@pytest.mark.parametrize(("state", "event"), list(product(Light, EVENTS)))
def test_every_pair_is_a_row_of_the_table_or_an_error(state: Light, event: str) -> None:
    if (state, event) in CROSSING.table:
        assert CROSSING.next(state, event) is CROSSING.table[state, event]
    else:
        with pytest.raises(IllegalEventError) as refused:
            CROSSING.next(state, event)
        assert refused.value.parameters == {"machine": "crossing", "state": state.value, "event": event}


def test_a_move_and_its_reason_are_kept_together(database: Database, crossing: Crossing) -> None:
    with database.writing() as session:
        assert (
            advance(session, CROSSING, session.get_one(Crossing, "c1"), "go", "a child waits") is Light.GREEN
        )
    with database.reading() as session:
        assert session.get_one(Crossing, "c1").state == "green"
    assert history(database) == [("crossing", "c1", "red", "go", "green", "a child waits")]
    with database.reading() as session:
        assert session.scalars(select(StateHistory.at)).one().tzinfo is not None


def test_an_illegal_event_changes_nothing(database: Database, crossing: Crossing) -> None:
    with (
        pytest.raises(IllegalEventError, match=r"crossing cannot do 'stop' while it is 'red'"),
        database.writing() as session,
    ):
        advance(session, CROSSING, session.get_one(Crossing, "c1"), "stop")
    assert history(database) == []


def test_a_rolled_back_move_leaves_no_history(database: Database, crossing: Crossing) -> None:
    def move_and_lose_power() -> None:
        with database.writing() as session:
            advance(session, CROSSING, session.get_one(Crossing, "c1"), "go")
            raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        move_and_lose_power()
    with database.reading() as session:
        assert session.get_one(Crossing, "c1").state == "red"
    assert history(database) == []


def test_a_state_the_machine_does_not_know_is_an_error(database: Database) -> None:
    with pytest.raises(ValueError, match="purple"), database.writing() as session:
        advance(session, CROSSING, Crossing(id="c2", state="purple"), "go")
    assert history(database) == []


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_the_history_of_any_walk_joins_up(events: list[str]) -> None:
    db = Database("sqlite://")
    db.create_tables()
    OwnBase.metadata.create_all(db.engine)
    with db.writing() as session:
        row = Crossing(id="c1", state=Light.RED.value)
        session.add(row)
        for event in events:
            if (Light(row.state), event) in CROSSING.table:
                advance(session, CROSSING, row, event)
        session.flush()
        steps = session.scalars(select(StateHistory).order_by(StateHistory.id)).all()
        places = [Light.RED.value, *(step.after for step in steps)]
        assert [step.before for step in steps] == places[:-1]
        assert row.state == places[-1]
    db.close()
