from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient

from casework.access.permission import Role
from core.errors import SealdockError
from webconsole import catalogue, i18n
from webconsole.auth.account import Account

if TYPE_CHECKING:
    from conftest import House


class SampleError(SealdockError):
    code = "sample.error"
    sentence = "{name} is not there: {cause}"


@pytest.mark.parametrize("locale", catalogue.TRANSLATED)
def test_every_string_is_translated(locale: str) -> None:
    assert catalogue.complaints(locale) == []


def test_the_extraction_finds_templates_code_and_sentences() -> None:
    found = catalogue.template()
    assert found.get("Sign in") is not None
    assert found.get("This field is needed.") is not None
    assert found.get(SealdockError.sentence) is not None


def test_a_catalogue_with_holes_is_complained_about(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path_factory.mktemp("translations")
    monkeypatch.setattr(catalogue, "TRANSLATIONS", directory)
    path = directory / "zh_CN" / "LC_MESSAGES" / "messages.po"
    path.parent.mkdir(parents=True)
    path.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
        '#, fuzzy\nmsgid "Sign in"\nmsgstr "登录"\n\nmsgid "Nobody says this"\nmsgstr "无"\n\n'
        'msgid "Password of %(name)s"\nmsgstr "密码"\n'
    )
    found = catalogue.complaints("zh_CN")
    assert "fuzzy: 'Sign in'" in found
    assert "gone: 'Nobody says this'" in found
    assert "other parameters: 'Password of %(name)s'" in found
    assert "missing: 'Username'" in found
    catalogue.extract("zh_CN")
    after = catalogue.complaints("zh_CN")
    assert not any(line.startswith("gone") for line in after)


@pytest.mark.parametrize(
    ("cookie", "account", "header", "expected"),
    [
        ("", "", "", "zh-CN"),
        ("", "", "en-GB,en;q=0.9", "en"),
        ("", "", "zh-TW,zh;q=0.8", "zh-CN"),
        ("", "", "fr", "zh-CN"),
        ("", "en", "zh-CN", "en"),
        ("zh_CN", "en", "en", "zh-CN"),
        ("../x", "", "en", "en"),
    ],
)
def test_whose_choice_of_language_counts(
    house: House, client: FlaskClient, cookie: str, account: str, header: str, expected: str
) -> None:
    person = house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        work.get_one(Account, person.id).locale = account
    house.sign_in(client, person)
    if cookie:
        client.set_cookie("sealdock-locale", cookie)
    page = client.get("/my-account", headers={"Accept-Language": header} if header else {}).text
    assert f'<html lang="{expected}"' in page


def test_times_are_shown_in_the_bureaus_zone(app: Flask) -> None:
    moment = datetime(2026, 11, 23, 16, 5, 4, tzinfo=UTC)
    with app.test_request_context():
        shown = i18n.local_time(moment)
        assert ">2026-11-24 00:05<" in shown
        assert 'title="2026-11-24 00:05:04+08:00"' in shown
        assert i18n.local_day(moment) == "2026-11-24"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_234_567, "1.2 MB"), (99_960_000, "100 MB"),
     (999_600_000, "1.0 GB"), (2 * 10**15, "2.0 PB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert i18n.size_text(size) == text


@pytest.mark.parametrize(
    ("length_ms", "text"),
    [
        (0, "0:00"),
        (499, "0:00"),
        (59_600, "1:00"),
        (61_000, "1:01"),
        (3_723_000, "1:02:03"),
        (360_000_000, "100:00:00"),
    ],
)
def test_durations(length_ms: int, text: str) -> None:
    assert i18n.clock_text(length_ms) == text


def test_an_error_inside_an_error_is_a_sentence(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        inner = SampleError(name="<b>", cause="x")
        assert i18n.sentence(SampleError(name="a", cause=inner)) == "a is not there: <b> is not there: x"


def test_an_error_of_another_process_is_said_by_its_code(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert "a.mp4 cannot be read" in i18n.sentence_of("ingest.unreadable", {"path": "a.mp4"})
        assert "strange.code" in i18n.sentence_of("strange.code", {})


def test_numbers_are_tabular_and_escaped(app: Flask) -> None:
    with app.test_request_context():
        assert i18n.tabular(1234567) == '<span class="tabular">1,234,567</span>'
        assert "1,234,567" in i18n.human_size(1234567)
        assert i18n.time_left(7200) != ""
