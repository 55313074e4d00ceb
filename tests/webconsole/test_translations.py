from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from webconsole import errors
from webconsole.catalogue import TRANSLATED, catalogue_path, complaints, template

TEMPLATES = Path(__file__).parents[2] / "webconsole" / "templates"
CHINESE = re.compile("[一-鿿]")
SPOKEN = re.compile(r">\s*([A-Za-z][a-z]+(?: [a-z]+)+[.?]?)\s*<")  # English between two tags


@pytest.mark.parametrize("locale", TRANSLATED)
def test_no_sentence_is_missing_fuzzy_or_gone(locale: str) -> None:
    assert complaints(locale) == []


@pytest.mark.parametrize("locale", TRANSLATED)
def test_chinese_is_chinese(locale: str) -> None:
    """A sentence of words is not left in English; bare patterns such as '%(sent)s of' have none."""
    with catalogue_path(locale).open("rb") as source:
        messages = [message for message in read_po(source, locale=locale) if message.id]
    for message in messages:
        text = message.string if isinstance(message.string, str) else message.string[0]
        if re.search(r"[A-Za-z]{3,}", re.sub(r"%\(\w+\)s|\{\w+\}|`[^`]*`|Sealdock|SHA|ZIP", "", text)):
            assert CHINESE.search(text), text
    assert len(messages) > 300


def test_the_words_of_the_trade_are_the_glossarys() -> None:
    with catalogue_path("zh_CN").open("rb") as source:
        words = {m.id: m.string for m in read_po(source, locale="zh_CN") if isinstance(m.id, str)}
    assert words["Chain of custody"] == "保管链"
    assert words["Exhibits"] == "证据"
    assert words["Receipt"] == "回执"
    assert words["Disclosure"] == "出示/移送"
    assert words["Recorder"] == "执法记录仪"
    assert words["Evidence custodian"] == "证据管理员"
    stages = ("Filing", "Investigation", "Evidence", "Review", "Decision", "Service", "Execution")  # D23
    assert [words[stage] for stage in stages] == ["立案", "调查", "取证", "审查", "决定", "送达", "执行"]


def test_the_words_of_the_error_pages_are_in_the_catalogue() -> None:
    """They are constants of the module, marked with lazy_gettext, which babel does not know by itself."""
    known = template()
    source = Path(errors.__file__).read_text(encoding="utf-8")
    assert (
        source.count("lazy_gettext(") == len(errors.SENTENCES) + len(errors.TITLES) + 2
    )  # BROKEN, and _title's
    for text in (*errors.SENTENCES.values(), *errors.TITLES.values(), errors.BROKEN):
        (message_id,) = text._args
        assert known.get(message_id) is not None, message_id
    assert known.get("This did not work") is not None


def test_a_concept_has_one_word() -> None:
    with catalogue_path("zh_CN").open("rb") as source:
        texts = [str(message.string) for message in read_po(source, locale="zh_CN")]
    for other, word in (
        ("证据库", "保险库"),
        ("第二因素", "动态验证码"),
        ("建立案件", "新建案件"),
        ("待写入日志", "待入日志"),
    ):
        assert not [text for text in texts if other in text], f"say {word}"


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_no_sentence_outside_the_catalogue(template: Path) -> None:
    assert SPOKEN.findall(template.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_no_inline_style_or_script(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
