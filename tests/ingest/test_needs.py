from __future__ import annotations

from devices.serial.error import NoteUnreadableError, SilentError
from ingest.error import UnmappedBayError, UnpluggedError
from ingest.needs import NEEDS, need_of
from ingest.status import Need


class StrangerSilentError(SilentError):
    """A cause that is only known by the one it is a kind of."""

    code = "tests.stranger_silent"


def test_a_need_is_that_of_the_cause_and_of_what_it_is_a_kind_of() -> None:
    assert need_of(UnpluggedError(left=1)) == Need.PUT_BACK
    assert need_of(StrangerSilentError(device="x", step="identify", tries=3)) == Need.REPLUG
    assert need_of(NoteUnreadableError(serial="X1A0001", path="note")) == Need.ADMINISTRATOR


def test_a_cause_whose_sentence_says_more_than_a_code_can_has_none() -> None:
    assert need_of(UnmappedBayError(device="x", port="y")) is None
    assert need_of(None) is None


def test_no_need_sends_two_people() -> None:
    """A sentence that names one person does not come with the code of another."""
    for kind, need in NEEDS.items():
        said = kind.sentence.lower()
        if need is Need.CUSTODIAN:
            assert "administrator" not in said, kind
        if need is Need.ADMINISTRATOR:
            assert "custodian" not in said, kind
