from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from casework.access.permission import Role
from webconsole.forms.field import MOST_IDS, Form, FormError

IDENTITY = "01JQ0000000000000000000000"


@pytest.fixture(autouse=True)
def _request(app: Flask) -> Iterator[None]:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        yield


def form(*pairs: tuple[str, str]) -> Form:
    return Form(MultiDict(pairs))


def test_text_is_normalised_and_stripped() -> None:
    assert form(("name", "  e\u0301tage\r\n ")).text("name") == "\u00e9tage"
    assert form(("note", "one\r\ntwo")).text("note", lines=True) == "one\ntwo"


@pytest.mark.parametrize("typed", ["", "   ", "a\x00b", "a\nb", "x" * 201])
def test_text_that_cannot_be(typed: str) -> None:
    given_form = form(("name", typed))
    given_form.text("name")
    assert given_form.mistake("name")
    with pytest.raises(FormError):
        given_form.check()


def test_what_was_typed_is_given_back_however_wrong() -> None:
    given_form = form(("name", "<b>" + "x" * 20_000))
    given_form.text("name")
    assert given_form.typed("name").startswith("<b>xxx")
    assert len(given_form.typed("name")) == 10_000


def test_choices() -> None:
    assert form(("role", "head")).choice("role", Role) is Role.HEAD
    assert form().choice("role", Role, Role.AUDITOR) is Role.AUDITOR
    for wrong in (form(("role", "king")), form()):
        wrong.choice("role", Role)
        assert wrong.mistake("role")


@pytest.mark.parametrize(
    ("typed", "expected"), [("", 7), ("3", 3), (" 3 ", 3), ("11", 7), ("x", 7), ("9" * 30, 7), ("\u0663", 7)]
)
def test_integers(typed: str, expected: int) -> None:
    given_form = form(("n", typed))
    assert given_form.integer("n", 1, 10, otherwise=7) == expected
    assert bool(given_form.mistakes) == (expected == 7 and bool(typed))


def test_days() -> None:
    assert form(("on", "2026-11-23")).day("on") == date(2026, 11, 23)
    assert form().day("on", required=False) is None
    for wrong in (form(("on", "23.11.2026")), form()):
        assert wrong.day("on") is None
        assert wrong.mistake("on")


def test_identifiers() -> None:
    assert form(("id", IDENTITY), ("id", IDENTITY)).identifiers("id") == [IDENTITY]
    many = form(*(("id", f"01JQ{i:022d}") for i in range(MOST_IDS + 1)))
    assert len(many.identifiers("id")) == MOST_IDS
    assert many.mistake("id")
    for wrong in (form(), form(("id", "x"), ("id", IDENTITY))):
        assert wrong.identifiers("id") == []
        assert wrong.mistake("id")
    assert form(("id", IDENTITY)).identifier("id") == IDENTITY
    assert form().identifier("id", required=False) == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=st.text(max_size=300))
def test_anything_typed_is_a_value_or_a_sentence(typed: str) -> None:
    given_form = form(("f", typed))
    text = given_form.text("f", limit=50, required=False)
    assert len(text) <= 50
    given_form.integer("f", 0, 5, otherwise=0)
    given_form.day("f", required=False)
    given_form.identifier("f", required=False)
    given_form.choice("f", Role)
    assert all(isinstance(sentence, str) for sentence in given_form.mistakes.values())
