from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from bureau.desk import Disclosed

from casework.cases.case import Kind, Stage
from casework.evidence.viewing import PurposeCode, Rendition
from casework.package.content import key_fingerprint
from casework.package.wording import word
from vault import founding

PAGES = ["data/index.html", "data/custody/*.html"]


class Links(HTMLParser):
    """Every address and language in a page, and whether anything in it is more than a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name in {"src", "href"} and value]


def parsed(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text())
    return links


def pages(disclosed: Disclosed) -> list[Path]:
    return [path for pattern in PAGES for path in sorted(disclosed.directory.glob(pattern))]


def test_every_link_leads_to_a_file_of_the_package(disclosed: Disclosed) -> None:
    for page in pages(disclosed):
        for address in parsed(page).addresses:
            assert not re.match(r"[a-z]+:|//|/", address), address
            assert (page.parent / unquote(address)).resolve().is_file(), (page.name, address)


def test_pages_run_nothing_and_load_nothing_from_elsewhere(disclosed: Disclosed) -> None:
    for page in pages(disclosed):
        links = parsed(page)
        assert not {"script", "iframe", "object", "embed", "form", "base"} & set(links.tags)
        assert not [name for name in links.attributes if name.startswith("on") or name == "style"]
    assert "url(" not in (disclosed.directory / "data/assets/package.css").read_text()
    assert "@import" not in (disclosed.directory / "data/assets/package.css").read_text()


def test_names_from_outside_are_text(disclosed: Disclosed) -> None:
    page = (disclosed.directory / "data/index.html").read_text()
    assert "现场 &lt;b&gt;检查&lt;/b&gt;.mp4" in page
    assert "<b>检查" not in page


def test_an_original_that_browsers_cannot_play_has_a_labelled_derivative(disclosed: Disclosed) -> None:
    page = (disclosed.directory / "data/index.html").read_text()
    assert page.count('class="derivative"') == 1
    assert page.count("<video") == 2
    derivative = disclosed.package.statement.recordings[1].derivative
    assert derivative is not None
    assert derivative.path.endswith(".playable.mp4")
    assert derivative.entry is not None  # the log knows it
    assert "the evidence is the original" in page


def test_both_languages_say_how_to_check(disclosed: Disclosed) -> None:
    statement = disclosed.package.statement
    for name in ("README.zh-CN.md", "README.en.md"):
        text = (disclosed.directory / "data" / name).read_text()
        for needed in (
            "bagit --validate",
            "openssl dgst",
            "verify.go",
            "sealdock package verify",
            statement.log.fingerprint,
        ):
            assert needed in text, (name, needed)
        assert "{{" not in text


def test_the_key_file_starts_with_the_key_and_says_what_it_is_worth(disclosed: Disclosed) -> None:
    text = (disclosed.directory / "data/log-key.txt").read_text()
    assert text.splitlines()[0] == disclosed.vkey
    assert "proves nothing by itself" in text
    assert "不能证明" in text


def test_the_fingerprint_is_the_one_that_vault_init_prints(disclosed: Disclosed) -> None:
    key = disclosed.station.vault.verifier
    assert key_fingerprint(key) == founding.fingerprint(key.public)


@pytest.mark.parametrize(
    "key",
    [
        *(stage.value for stage in Stage), *(kind.value for kind in Kind),
        *(f"purpose.{code.value}" for code in PurposeCode), *(f"view.{rendition.value}" for rendition in Rendition),
        "ingest", "session", "derive", "link.link", "link.unlink",
        "denied", "export", *(f"derive.{name}" for name in ("index", "poster", "sprite", "waveform", "proxy")),
    ],
)  # fmt: skip
def test_every_expression_has_both_languages(key: str) -> None:
    words = word(key)
    assert words.is_known
    assert re.search(r"[\u4e00-\u9fff]", words.zh)
    assert words.en.isascii()


def test_times_are_in_the_bureaus_zone_with_the_offset(disclosed: Disclosed) -> None:
    page = (disclosed.directory / "data/index.html").read_text()
    assert "2026-11-20 09:15:00 +08:00" in page


def test_an_original_is_saved_and_never_opened_as_a_page(disclosed: Disclosed) -> None:
    page = (disclosed.directory / "data/index.html").read_text()
    originals = re.findall(r'<a class="original"[^>]*>', page)
    assert len(originals) == len(disclosed.recordings)
    assert all(link.endswith(" download>") for link in originals)
