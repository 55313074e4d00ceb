"""Languages: Chinese and English are equals; English is the message id.

The .po files are compiled in memory at start, so that what a translator wrote is what runs and no compiled
file can go stale. The reader's language is the one chosen on the page, else the account's, else the first
that the browser asks for and we have, else the station's. Times are shown in the bureau's zone.

`python -m webconsole.i18n extract` brings the catalogues up to date with templates and code, `check` says
what is missing (webconsole/catalogue.py).
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, request
from flask_babel import Babel, Domain, get_locale, gettext, ngettext
from markupsafe import Markup

from core.errors import SealdockError, all_errors
from webconsole.auth.cookie import LOCALE
from webconsole.context import EXTENSION, console
from webconsole.gate import account_or_none

TRANSLATIONS = Path(__file__).parent / "translations"
SOURCE_LOCALE = "en"
LOCALES = ("zh_CN", "en")
REPORTING = (  # modules whose errors reach the board by code: words, and nothing that does the work
    "vault.error", "devices.error", "devices.serial.error", "media.error",
    "ingest.error", "ingest.damage", "ingest.receipt", "ingest.room", "ingest.statement",
)  # fmt: skip
UNKNOWN = "\0"  # stands before the name of a parameter that was not kept, until the sentence is whole
ASIDE = re.compile(
    rf"\s*[(\uff08][^()\uff08\uff09]*{UNKNOWN}[^()\uff08\uff09]*[)\uff09]"
)  # says nothing without it
KILO = 1000  # sizes are shown as the card's label counts them, decimal; the exact figure is in the title
UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


class MemoryDomain(Domain):  # type: ignore[misc]  # the library has no types
    """Translations that were compiled in memory from the .po files."""

    def get_translations(self) -> NullTranslations:
        """The catalogue of the reader's language."""
        return catalogue(current_locale())


class MemoryBabel(Babel):  # type: ignore[misc]  # the library has no types
    """Flask-Babel over MemoryDomain."""

    domain_instance = MemoryDomain()


@cache
def catalogue(locale: str) -> NullTranslations:
    """The compiled translations of `locale`; English is its own."""
    path = TRANSLATIONS / locale / "LC_MESSAGES" / "messages.po"
    if locale == SOURCE_LOCALE or not path.is_file():
        return NullTranslations()
    with path.open("rb") as source:
        messages = read_po(source, locale=locale, ignore_obsolete=True)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


def install(app: Flask) -> None:
    """Give the application its languages and the templates their filters."""
    station = app.extensions[EXTENSION].settings.station
    MemoryBabel(
        app, default_locale=station.locale, default_timezone=station.timezone, locale_selector=choose_locale
    )
    for locale in LOCALES:
        catalogue(locale)
    app.jinja_env.filters.update(
        human_size=human_size, duration=duration, time_left=time_left, local_time=local_time,
        local_day=local_day, tabular=tabular, sentence=sentence,
    )  # fmt: skip


def choose_locale() -> str:
    """The language for this request, one of LOCALES."""
    chosen = request.cookies.get(LOCALE, "")
    if chosen in LOCALES:
        return chosen
    account = account_or_none()
    if account is not None and account.locale in LOCALES:
        return account.locale
    offered = {locale.replace("_", "-"): locale for locale in LOCALES} | {"zh": "zh_CN"}
    asked = request.accept_languages.best_match(offered)
    return offered[asked] if asked else console().settings.station.locale


def current_locale() -> str:
    """The language this page is written in."""
    locale = get_locale()
    if locale is None:
        return SOURCE_LOCALE
    return f"{locale.language}_{locale.territory}" if locale.territory else str(locale.language)


def sentence(error: SealdockError) -> str:
    """What happened, what it means and what to do next, in the reader's language."""
    parameters = {
        name: sentence(value) if isinstance(value, SealdockError) else value
        for name, value in error.parameters.items()
    }
    if "what" in parameters:
        parameters["what"] = _nouns().get(str(parameters["what"]), parameters["what"])
    translated: str = gettext(type(error).sentence)
    return translated.format(**parameters)


def _nouns() -> dict[str, str]:
    """What the packages call the things that an error may be about, in the reader's language."""
    return {
        "case": gettext("case"),
        "officer": gettext("officer"),
        "package": gettext("package"),
        "quarantined_session": gettext("docking session in quarantine"),
        "recorder_asset": gettext("recorder"),
        "recording": gettext("recording"),
        "unit": gettext("unit"),
    }


def sentence_of(code: str, parameters: Mapping[str, object]) -> str:
    """The sentence of an error that another process reported by its code."""
    error = reported_errors().get(code)
    if error is None:
        return str(gettext("The station reports the fault %(code)s. Ask the administrator.", code=code))
    told = ASIDE.sub("", str(gettext(error.sentence)).format_map(_Kept(parameters)))
    return told.replace(f"{UNKNOWN}why", str(gettext("no more is known"))).replace(UNKNOWN, "")


class _Kept(dict[str, object]):
    """Parameters of another process's error, which may not have kept them all."""

    def __missing__(self, name: str) -> str:
        return UNKNOWN + name


def reported_errors() -> dict[str, type[SealdockError]]:
    """Every error class that is known here, those of the reporting packages among them, by code."""
    for module in REPORTING:
        importlib.import_module(module)
    return {error.code: error for error in all_errors()}


def local_time(moment: datetime | None, form: str = "minute") -> Markup:
    """`2026-11-23 14:05` in the bureau's zone, offset in the title; `form` is minute, second or clock."""
    if moment is None:
        return Markup('<span class="none">—</span>')
    local = moment.astimezone(_zone())
    shown = local.strftime(
        {"minute": "%Y-%m-%d %H:%M", "second": "%Y-%m-%d %H:%M:%S", "clock": "%H:%M:%S"}[form]
    )
    return Markup('<time class="tabular" datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), local.isoformat(sep=" ", timespec="seconds"), shown
    )


def local_day(moment: datetime | None) -> str:
    """`2026-11-23` in the bureau's zone."""
    return "" if moment is None else moment.astimezone(_zone()).strftime("%Y-%m-%d")


def human_size(size_bytes: int | None) -> Markup:
    """`1.2 GB`; every byte is in the title."""
    if size_bytes is None:
        return Markup('<span class="none">—</span>')
    exact = ngettext("%(exact)s byte", "%(exact)s bytes", size_bytes, exact=f"{size_bytes:,}")
    return Markup('<data class="tabular" value="{}" title="{}">{}</data>').format(
        size_bytes, exact, size_text(size_bytes)
    )


def size_text(size_bytes: float) -> str:
    """`1.2 GB`, three figures at most."""
    amount, unit = float(size_bytes), 0
    while amount >= KILO - 0.5 and unit < len(UNITS) - 1:
        amount, unit = amount / KILO, unit + 1
    figures = f"{amount:.0f}" if unit == 0 or amount >= 99.95 else f"{amount:.1f}"  # noqa: PLR2004
    return f"{figures} {UNITS[unit]}"


def duration(length_ms: int | None) -> Markup:
    """`1:02:03` or `2:03`; milliseconds are in the title."""
    if length_ms is None:
        return Markup('<span class="none">—</span>')
    seconds = length_ms / 1000
    return Markup('<time class="tabular" datetime="PT{}S" title="{}">{}</time>').format(
        f"{seconds:.3f}", gettext("%(seconds)s seconds", seconds=f"{seconds:.3f}"), clock_text(length_ms)
    )


def clock_text(length_ms: int) -> str:
    """`1:02:03` or `2:03`, whole seconds."""
    minutes, seconds = divmod(round(length_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def time_left(seconds: float | None) -> str:
    """`about 3 min`: no finer than anybody can know."""
    if seconds is None:
        return ""
    left = timedelta(seconds=seconds)
    if left < timedelta(seconds=50):
        return str(gettext("about %(n)s s", n=max(5, round(seconds / 5) * 5)))
    if left < timedelta(minutes=90):
        return str(gettext("about %(n)s min", n=max(1, round(seconds / 60))))
    return str(gettext("about %(n)s h", n=f"{seconds / 3600:.1f}"))


def tabular(number: float | None) -> Markup:
    """A number in figures of one width, grouped by thousands."""
    shown = "—" if number is None else f"{number:,}"
    return Markup('<span class="tabular">{}</span>').format(shown)


def _zone() -> ZoneInfo:
    return ZoneInfo(console().settings.station.timezone)


if __name__ == "__main__":
    from webconsole.catalogue import main

    sys.exit(main(sys.argv[1:]))
