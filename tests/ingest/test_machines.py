"""Both machines, every (state, event) pair: what the design allows happens, everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.states import IllegalEventError, Machine
from ingest.docking import DOCKING, SessionState
from ingest.recording import ON_THE_WAY, RECORDING, SEALED, UNFINISHED, RecordingState

MACHINES = (RECORDING, DOCKING)
DESIGN = {
    "recording": (
        "found copying", "copying copied", "copied submitted", "submitted verified", "verified receipted",
        "receipted erasable", "erasable erasing", "erasing erased", "copying interrupted", "copying damaged",
        "interrupted copying", "damaged submitted", "submitted mismatched", "mismatched found", "found unreadable",
        "copying unreadable", "erasable receipted", "erasing receipted",
    ),
    "session": (
        "attached identified", "attached quarantined", "identified offloading", "quarantined offloading",
        "offloading complete", "offloading partial", "complete released", "partial released", "offloading interrupted",
        "interrupted offloading",
    ),
}  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_steps_are_exactly_those_of_the_design(machine: Machine) -> None:
    assert sorted(f"{before} {after}" for (before, _), after in machine.table.items()) == sorted(
        DESIGN[machine.name]
    )


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_pair_of_state_and_event_either_moves_or_is_refused(machine: Machine) -> None:
    events = {event for _, event in machine.table}
    for state in machine.states:
        for event in events:
            if (state, event) in machine.table:
                assert machine.next(state, event) is machine.table[state, event]
            else:
                with pytest.raises(IllegalEventError, match=f"'{event}' while it is '{state}'"):
                    machine.next(state, event)


@given(st.data())
def test_no_path_leads_to_a_receipt_past_the_outbox(data: st.DataObject) -> None:
    state, seen = RecordingState.FOUND, [RecordingState.FOUND]
    for _ in range(12):
        events = sorted(event for before, event in RECORDING.table if before is state)
        if not events:
            break
        state = RECORDING.next(state, data.draw(st.sampled_from(events)))
        seen.append(state)
    if state in SEALED:
        place = seen.index(RecordingState.RECEIPTED)
        assert seen[place - 2 : place] == [RecordingState.SUBMITTED, RecordingState.VERIFIED]


def test_nothing_is_both_sealed_and_to_be_copied() -> None:
    assert not SEALED & UNFINISHED
    assert not ON_THE_WAY & UNFINISHED
    assert not SEALED & ON_THE_WAY


def test_a_session_ends_only_once() -> None:
    ended = {SessionState.COMPLETE, SessionState.PARTIAL}
    assert {event for before, event in DOCKING.table if before in ended} == {"release"}
