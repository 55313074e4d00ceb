"""Who may read next."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event, Thread
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.turns import Claim, Turns, hub_of


class Bay:
    """A thread that asks for one turn and holds it until it is told to stop."""

    def __init__(self, turns: Turns, claim: Claim) -> None:
        self.started, self.leave = Event(), Event()
        self.started_at = 0.0
        self._turns, self._claim = turns, claim
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        with self._turns.turn(self._claim):
            self.started_at = monotonic()
            self.started.set()
            self.leave.wait(30)

    def end(self) -> None:
        self.leave.set()
        self.thread.join(30)


def test_a_flagged_file_on_a_ninth_recorder_starts_while_eight_long_ones_run() -> None:
    turns = Turns(lanes=9)
    bays = [Bay(turns, Claim(f"bay-{n}", hub="hub", disk="vault")) for n in range(8)]
    assert all(bay.started.wait(5) for bay in bays)
    tenth = Bay(turns, Claim("bay-10", disk="vault"))
    asked_at = monotonic()
    flagged = Bay(turns, Claim("bay-9", hub="hub", disk="vault", is_flagged=True))
    assert flagged.started.wait(2)
    assert flagged.started_at - asked_at < 2
    assert not tenth.started.is_set(), "an ordinary file does not take the lane that is kept"
    bays[0].end()
    flagged.end()
    assert tenth.started.wait(5)
    for bay in (*bays, tenth):
        bay.end()


def test_flagged_files_go_first_and_then_the_bay_that_was_served_least() -> None:
    turns = Turns(lanes=2)
    for bay, size in (("greedy", 10**9), ("modest", 10**6)):
        with turns.turn(Claim(bay)) as served:
            served(size)
    order: list[str] = []
    holder = Bay(turns, Claim("holder"))
    assert holder.started.wait(5)
    waiting = []
    for name, is_flagged in (("greedy", False), ("modest", False), ("flag", True), ("flag-2", True)):
        waiting.append(Bay(turns, Claim(name, is_flagged=is_flagged)))
        if name == "flag":
            assert waiting[-1].started.wait(5)
    while turns.waiting() < 3:
        waiting[-1].thread.join(0.01)
    holder.end()
    for name, index in (("flag-2", 3), ("modest", 1), ("greedy", 0)):
        if name == "modest":
            waiting[2].end()
        assert waiting[index].started.wait(5), name
        order.append(name)
        waiting[index].end()
    assert order == ["flag-2", "modest", "greedy"]


@pytest.mark.parametrize(("hub", "disk"), [("one", ""), ("", "one")])
def test_a_budget_of_a_hub_or_a_disk_holds_whatever_other_lanes_are_free(hub: str, disk: str) -> None:
    turns = Turns(lanes=20, per_hub=2, per_disk=2)
    bays = [Bay(turns, Claim(f"bay-{n}", hub, disk)) for n in range(3)]
    other = Bay(turns, Claim("elsewhere", hub and "two", disk and "two"))
    assert other.started.wait(5)
    while turns.waiting() != 1:
        other.thread.join(0.01)
    assert sum(bay.started.is_set() for bay in bays) == 2
    flagged = Bay(turns, Claim("flag", hub, disk, is_flagged=True))
    assert flagged.started.wait(5), "one more than an ordinary file"
    for bay in (flagged, other, *bays):
        bay.leave.set()
    for bay in (flagged, other, *bays):
        bay.end()


def test_who_waits_asks_whether_it_still_makes_sense_and_leaves_the_line() -> None:
    turns = Turns(lanes=1)
    asked = 0

    def left() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise InterruptedError

    with turns.turn(Claim("a")), pytest.raises(InterruptedError), turns.turn(Claim("b"), left):
        pass
    assert turns.waiting() == 0
    with turns.turn(Claim("c")):
        pass


@settings(max_examples=60, deadline=None)
@given(
    lanes=st.integers(1, 5), per_hub=st.integers(1, 4),
    claims=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans()), max_size=12),
)  # fmt: skip
def test_whatever_is_asked_for_no_budget_is_exceeded(
    lanes: int, per_hub: int, claims: list[tuple[int, int, bool]]
) -> None:
    turns = Turns(lanes, per_hub, 100)
    ordinary, all_of_them, by_hub = 0, 0, [0, 0, 0]
    with ExitStack() as held:
        for bay, hub, is_flagged in claims:
            claim = Claim(f"bay-{bay}", f"hub-{hub}", "disk", is_flagged)
            try:
                held.enter_context(turns.turn(claim, _once()))
            except InterruptedError:
                continue
            all_of_them += 1
            ordinary += not is_flagged
            by_hub[hub] += 1
        assert all_of_them <= max(1, lanes)
        assert ordinary <= max(1, lanes - 1)
        assert max(by_hub) <= per_hub + 1


def _once() -> object:
    calls = iter([True])

    def check() -> None:
        if next(calls, None) is None:
            raise InterruptedError

    return check


@pytest.mark.parametrize(
    ("port", "hub"),
    [
        ("pci-0000:00:04.0-usb-0:5.2", "pci-0000:00:04.0-usb-0:5"),
        ("pci-0000:00:04.0-usb-0:5.2.4", "pci-0000:00:04.0-usb-0:5.2"),
        ("pci-0000:00:04.0-usb-0:3", ""),
        ("", ""),
    ],
)
def test_a_hub_is_the_path_without_its_last_port(port: str, hub: str) -> None:
    assert hub_of(port) == hub
