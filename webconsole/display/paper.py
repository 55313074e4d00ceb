"""Sheets of paper: receipts and daily pages, the same from the console and from the command line.

A sheet is plain HTML with one style sheet. The console links the style (its policy allows nothing inline); a
file that is written by a command carries it, so that it prints anywhere. Templates are the console's, filled
without a request: the language is the caller's to choose.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from casework.evidence.recording import Recording
from casework.paper.daily import Day
from casework.paper.kept import KeptReceipt
from casework.paper.scan import NotOnPaperError, pieces
from casework.paper.window import Window
from core.clock import parse_stamp
from vault.formats.note import VerifierKey
from webconsole.i18n import catalogue
from webconsole.qr import svg_qr

STYLE = Path(__file__).parents[1] / "static" / "css" / "paper.css"
GROUP = 8  # digits


@dataclass(frozen=True)
class House:
    """Whose paper it is."""

    bureau: str
    station: str
    zone: str


@dataclass(frozen=True)
class Frame:
    """What stands around a sheet: the style, and in the console the way back and the script of its button."""

    style: Markup
    script: Markup | None = None
    back: str = ""


def file_frame() -> Frame:
    """The frame of a sheet that is written to a file."""
    css = STYLE.read_text(encoding="utf-8")
    return Frame(Markup("<style>\n{}</style>").format(Markup(css)))  # noqa: S704  # our own file


def linked_frame(asset: Callable[[str], str], back: str) -> Frame:
    """The frame of a sheet in the console; `asset` gives the address of a static file."""
    icon = Markup('<link rel="icon" href="{}" type="image/svg+xml">').format(asset("favicon.svg"))
    style = Markup('<link rel="stylesheet" href="{}">').format(asset("css/paper.css"))
    script = Markup('<script type="module" src="{}"></script>').format(asset("js/paper.js"))
    return Frame(icon + style, script, back)


def receipt_sheet(
    kept: KeptReceipt, house: House, frame: Frame, locale: str,
    recordings: Sequence[Recording] = (),
) -> str:  # fmt: skip
    """A receipt to print; one that is too long for codes says so and names its file."""
    try:
        codes = pieces(kept.on_paper.raw())
    except NotOnPaperError:
        codes = []
    return _render(
        "receipt.html", house, frame, locale, kept=kept, recordings=recordings, pieces=codes,
        window=kept.window,
    )  # fmt: skip


def daily_sheet(day: Day, key: VerifierKey, window: Window, house: House, frame: Frame, locale: str) -> str:
    """The page of a day to print and sign."""
    return _render(
        "daily.html", house, frame, locale, day=day, key=key, pieces=pieces(day.note),
        window=window,
    )  # fmt: skip


def _render(name: str, house: House, frame: Frame, locale: str, **facts: Any) -> str:
    environment = _environment(locale).overlay()
    environment.filters = {**environment.filters, "local_time": partial(_moment, ZoneInfo(house.zone))}
    sheet = environment.get_template(f"paper/{name}")
    return sheet.render(house=house, frame=frame, language=locale.replace("_", "-"), **facts)


@cache
def _environment(locale: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("webconsole"), autoescape=True, undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.install_gettext_translations(catalogue(locale), newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(groups=_groups, base64=_base64, qr=_qr)
    return environment


def _moment(zone: ZoneInfo, at: str | datetime, _form: str) -> str:
    """`2026-11-23 14:05:07 +08:00`, from a stamp of the log or a time."""
    local = (parse_stamp(at) if isinstance(at, str) else at).astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}"


def _groups(digest: str) -> str:
    """A digest in groups of eight digits, to be compared by eye."""
    return " ".join(digest[place : place + GROUP] for place in range(0, len(digest), GROUP))


def _base64(raw: bytes) -> str:
    return b64encode(raw).decode()


def _qr(piece: bytes) -> Markup:
    return svg_qr(piece.decode())
