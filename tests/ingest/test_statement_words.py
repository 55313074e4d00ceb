"""The statement as sentences."""

from __future__ import annotations

from core.canonical import Json
from devices.unwritten import Method
from ingest import statement_words
from ingest.statement import Fate, HolderBy, IdentityBy
from ingest.statement_words import FATES, HOLDERS, IDENTITIES, sentences

STATEMENT: Json = {
    "found_on": {"recorder_serial": "X1A0001", "transport": "mass_storage", "profile": "p", "usb": ":", "label": ""},
    "identity_by": "unlock", "holder": "060123", "holder_by": "badge",
    "condition": {
        "clock": {"offset_ms": -90_500, "uncertainty_ms": 1100}, "acts": [{"command": "unlock", "changed": True}],
    },
    "untouched": {"method": "write_counter", "holds": True},
    "counts": {"taken": 4, "left_out": 1}, "sample": {"known": 60, "read": 8, "differs": False},
    "number_gaps": [{"series": "2026-11-23", "first": 3, "last": 4}],
    "time_gaps": [{"until": "2026-11-23T08:50:00", "seconds": 60}], "split": [{"count": 2, "parts": []}],
}  # fmt: skip


def test_a_statement_is_said_in_the_order_of_a_page() -> None:
    assert [str(one) for one in sentences(STATEMENT)] == [
        "Found on recorder X1A0001 (mass_storage, profile p).",
        "Identity: the recorder answered the unlocking.",
        "Holder 060123: shown by badge.",
        "The recorder's clock was -90.5 s off, within 1.1 s.",
        "The dock wrote nothing to the recorder: the kernel counted no sector written to it.",
        "Command sent to the recorder that changed its state: unlock.",
        "1 files left out by the profile: no footage.",
        "4 files taken.",
        "8 of 60 files that have a receipt were read again, at random, and are equal.",
        "Numbers 3 to 4 are on no file (2026-11-23).",
        "At most 60 s without footage before 2026-11-23T08:50:00; the end of the recording before is unknown.",
        "2 files are parts of one recording.",
    ]


def test_every_code_has_its_words_and_nobody_is_said_to_have_recorded_anything() -> None:
    assert (set(FATES), set(IDENTITIES), set(HOLDERS)) == (set(Fate), set(IdentityBy), set(HolderBy))
    texts = [text for name, text in vars(statement_words).items() if name.isupper() and isinstance(text, str)]
    assert not [text for text in (*texts, *FATES.values()) if "recorded by" in text.casefold()]


def test_what_a_later_version_says_is_not_passed_over() -> None:
    later = STATEMENT | {"counts": {"teleported": 2}, "condition": {"clock": "unknown"}}
    later.pop("untouched")
    said = [str(one) for one in sentences(later)]
    assert "teleported: 2." in said
    assert "The recorder's clock could not be read: its drift is unknown." in said
    assert "Whether anything was written to the recorder was not measured." in said


def test_how_it_was_shown_is_said_in_words_and_a_later_way_by_its_code() -> None:
    def said(method: str, *, holds: bool) -> str:
        return next(
            text
            for text in map(str, sentences(STATEMENT | {"untouched": {"method": method, "holds": holds}}))
            if "wrote nothing" in text
        )

    for method in Method:
        assert method.value not in said(method.value, holds=True)
    assert "could not be read" in said("write_counter+tables", holds=False)
    assert said("sworn", holds=True) == "The dock wrote nothing to the recorder (sworn)."
    assert said("sworn", holds=False).endswith("could not be shown (sworn).")
