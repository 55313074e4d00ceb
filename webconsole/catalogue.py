"""Keeping the translations whole: every string that a reader may meet stands in every catalogue.

Strings come from templates and code by babel's rules (babel.cfg), and from the `sentence` of every error
class of the packages, because those are the message ids that webconsole.i18n.sentence looks up, and from the
sentences of omission statements (webconsole/display/stated.py).
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

from core.errors import SealdockError, all_errors
from ingest import statement_words

ROOT = Path(__file__).parent
MAPPING = ROOT / "babel.cfg"
TRANSLATIONS = ROOT / "translations"
TRANSLATED = ("zh_CN",)
SPEAKING_PACKAGES = ("core", "vault", "devices", "media", "ingest", "casework", "webconsole")
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "lazy_gettext": None,
}  # those of babel, and what flask-babel adds for constants
LINE_WIDTH = 110


def catalogue_path(locale: str) -> Path:
    """Where the catalogue of `locale` lies."""
    return TRANSLATIONS / locale / "LC_MESSAGES" / "messages.po"


def template() -> Catalog:
    """Every string there is, untranslated."""
    found = Catalog(project="sealdock", charset="utf-8")
    with MAPPING.open(encoding="utf-8") as source:
        method_map, options = parse_mapping_cfg(source)  # type: ignore[no-untyped-call]
    for name, _line, message, comments, context in extract_from_dir(
        ROOT, method_map, options, KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    ):
        found.add(message, locations=[(f"webconsole/{name}", 0)], auto_comments=comments, context=context)
    for error in sentences():
        found.add(error.sentence, locations=[(error.__module__.replace(".", "/") + ".py", 0)])
    for words in statement_words.templates():
        found.add(words, locations=[("ingest/statement_words.py", 0)])
    return found


def sentences() -> Iterator[type[SealdockError]]:
    """Every error class of the packages, by code."""
    for package in SPEAKING_PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    own = [error for error in all_errors() if error.__module__.split(".")[0] in SPEAKING_PACKAGES]
    yield from sorted(own, key=lambda error: (error.code, error.__name__))


def extract(locale: str) -> Catalog:
    """Bring the catalogue up to date: new strings come empty, gone ones go, nothing is guessed."""
    path = catalogue_path(locale)
    catalogue = (
        _read(locale) if path.is_file() else Catalog(locale=locale, project="sealdock", charset="utf-8")
    )
    catalogue.update(template(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.revision_date = datetime(2026, 1, 1, tzinfo=UTC)  # no date: two extractions give the same bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        write_po(target, catalogue, width=LINE_WIDTH, no_location=False, omit_header=False, sort_by_file=True)
    return catalogue


def complaints(locale: str) -> list[str]:
    """What is missing, fuzzy, gone, or names other parameters than the English: empty when all is well."""
    known = _read(locale)
    wanted = template()
    found = [
        f"gone: {message.id!r}" for message in known if message.id and wanted.get(*_key(message)) is None
    ]
    for message in wanted:
        if not message.id:
            continue
        translated = known.get(*_key(message))
        if translated is None or not _is_whole(translated):
            found.append(f"missing: {message.id!r}")
        elif translated.fuzzy:
            found.append(f"fuzzy: {message.id!r}")
        elif _parameters(message.id) != _parameters(translated.string):
            found.append(f"other parameters: {message.id!r}")
    return found


def main(arguments: list[str]) -> int:
    """`extract` or `check`; check exits 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m webconsole.i18n", description=__doc__)
    parser.add_argument("action", choices=("extract", "check"))
    action = parser.parse_args(arguments).action
    wrong = 0
    for locale in TRANSLATED:
        if action == "extract":
            extract(locale)
        for complaint in complaints(locale):
            wrong += 1
            print(f"{locale}: {complaint}")  # noqa: T201  # a command's answer
    return 1 if wrong else 0


def _read(locale: str) -> Catalog:
    with catalogue_path(locale).open("rb") as source:
        return read_po(source, locale=locale, ignore_obsolete=True)


def _key(message: Message) -> tuple[str, str | None]:
    return (message.id if isinstance(message.id, str) else message.id[0]), message.context


def _is_whole(message: Message) -> bool:
    parts = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return all(parts)


def _parameters(text: str | tuple[str, ...] | list[str] | None) -> set[str]:
    texts = (text,) if isinstance(text, str) else tuple(text or ())
    braces = {name for one in texts for _, name, _, _ in string.Formatter().parse(_plain(one)) if name}
    percents = {piece.split(")")[0] for one in texts for piece in one.split("%(")[1:]}
    return braces | percents


def _plain(text: str) -> str:
    return text if "%(" not in text else ""
