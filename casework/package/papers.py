"""The pages and papers of a package: what a court opens first, in both languages, without a network or us.

They state what case.json and the custody extracts state, nothing more; everything from outside is escaped. No
script and nothing inline: the page is plain HTML with one style sheet, and prints well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

from casework.package.content import (
    CustodyExtract,
    CustodyStatement,
    PackageStatement,
    RecordingStatement,
    custody_path,
    derived,
    receipt_path,
)
from casework.package.wording import Words, word
from core.clock import parse_stamp

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def index_page(statement: PackageStatement, extracts: Sequence[CustodyExtract]) -> bytes:
    """The first page, data/index.html."""
    return _render("index.html", statement, extracts={extract.recording: extract for extract in extracts})


def custody_page(
    statement: PackageStatement, recording: RecordingStatement, extract: CustodyExtract
) -> bytes:
    """One recording's page, data/custody/<id>.html."""
    return _render("custody.html", statement, recording=recording, extract=extract)


def readme(statement: PackageStatement, language: str) -> bytes:
    """data/README.<language>.md: how to check the package with tools that we did not write."""
    return _render(f"README.{language}.md", statement)


def log_key_text(statement: PackageStatement) -> bytes:
    """data/log-key.txt: the key on the first line, and what it is worth below."""
    return _render("log-key.txt", statement)


@cache
def asset(name: str) -> bytes:
    """A file that every package carries as it is."""
    return (files("casework") / "package" / "page" / name).read_bytes()


def _render(name: str, statement: PackageStatement, **more: Any) -> bytes:
    return _environment().get_template(name).render(package=statement, **more).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: asset(name).decode()),
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(size=_size, moment=_moment, address=_address, word=word, code=_code)
    environment.globals.update(custody_path=custody_path, receipt_path=receipt_path, happened=_happened)
    return environment


def _size(octets: int) -> str:
    """`12.3 MiB`; bytes stay exact."""
    amount, unit = float(octets), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{octets} B" if not unit else f"{amount:.1f} {_UNITS[unit]}"


def _moment(stamped: str | None, zone: str) -> str:
    """A stamp of the log in the bureau's zone, with its offset."""
    if stamped is None:
        return ""
    local: datetime = parse_stamp(stamped).astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}"


def _address(path: str, start: str = "data/") -> str:
    """A link from a page in `start` to a file of the package."""
    climb = "../" * (start.count("/") - 1)
    return climb + quote(path.removeprefix("data/"))


def _code(text: str) -> str:
    """Text that cannot end a Markdown code span or table cell, and stays on its line."""
    return " ".join(text.replace("`", "'").replace("|", "/").split())


def _happened(line: CustodyStatement) -> Words:
    """What a custody line says happened, in both languages."""
    facts: Mapping[str, Any] = line.facts
    if line.type == "derive":
        made = [word(f"derive.{each.get('rendition')}") for each in derived(facts)]
        return Words("、".join(each.zh for each in made), ", ".join(each.en for each in made))
    for value in (facts.get("rendition"), facts.get("action"), facts.get("event"), facts.get("outcome")):
        if isinstance(value, str) and (words := word(f"{line.type}.{value}")).is_known:
            return words
    return word(line.type)
