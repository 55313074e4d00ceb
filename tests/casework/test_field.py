from __future__ import annotations

import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.cases.case import Stage
from casework.field import (
    CharacterError,
    ChoiceError,
    CodeError,
    DateError,
    EmptyFieldError,
    FieldError,
    LongFieldError,
    choice,
    day,
    day_or_none,
    number_code,
    text,
)


def test_text_is_trimmed_and_normalised() -> None:
    assert text("  e\u0301tage\r\n", "title", 20) == "étage"


@pytest.mark.parametrize("value", ["", "   ", None, "\r\n"])
def test_empty_text_is_refused_where_it_is_needed(value: str | None) -> None:
    with pytest.raises(EmptyFieldError):
        text(value, "title", 20)
    assert text(value, "title", 20, required=False) == ""


@pytest.mark.parametrize(
    "value", ["a\x00b", "a\x1bb", "gnp.\u202eexe", "a\u2066b", "a\ud800b", "a\u2028b", "a\ue000b"]
)
def test_what_cannot_be_shown_as_what_it_is_is_refused(value: str) -> None:
    with pytest.raises(CharacterError):
        text(value, "title", 20)


def test_line_feeds_only_where_they_are_meant() -> None:
    assert text("one\r\ntwo", "note", 20, lines=True) == "one\ntwo"
    with pytest.raises(CharacterError):
        text("one\ntwo", "title", 20)


def test_ten_thousand_characters_are_counted_in_the_answer() -> None:
    with pytest.raises(LongFieldError, match="10000 characters and at most 200"):
        text("长" * 10_000, "title", 200)


def test_markup_is_text() -> None:
    assert text("<b>&amp;</b>", "title", 20) == "<b>&amp;</b>"


def test_rare_characters_of_names_are_kept() -> None:
    assert text("𠮷\U0002ebf0·买买提", "name", 20) == "𠮷\U0002ebf0·买买提"


@given(st.text(max_size=60))
def test_text_gives_text_or_a_field_error(value: str) -> None:
    try:
        kept = text(value, "title", 40)
    except FieldError:
        return
    assert kept == text(kept, "title", 40)
    assert unicodedata.is_normalized("NFC", kept)
    assert kept.encode()


@pytest.mark.parametrize("value", ["06012", "0601234", "06012三", "０６０１２３", "0601 2", "06-123"])
def test_a_number_is_exactly_its_letters_and_digits(value: str) -> None:
    with pytest.raises(CodeError):
        number_code(value, "number", 6)


def test_a_number_keeps_its_zeroes() -> None:
    assert number_code(" 060123 ", "number", 6) == "060123"


@pytest.mark.parametrize(
    "value", ["2026-02-30", "26-1-1", "tomorrow", "1066-10-14", "9999-01-01", "2026-11-23T00:00"]
)
def test_dates_that_cannot_be_meant(value: str) -> None:
    with pytest.raises(DateError):
        day(value, "opened_on")


def test_dates() -> None:
    assert day("2026-11-23", "opened_on") == date(2026, 11, 23)
    assert day_or_none("", "until") is None


def test_a_choice_names_what_there_is() -> None:
    assert choice("filing", "stage", Stage) is Stage.FILING
    with pytest.raises(ChoiceError, match="filing, investigation"):
        choice("closing", "stage", Stage)
