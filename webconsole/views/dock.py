"""The dock board: one tile a bay, readable from two metres, public because it shows no footage.

Every word of a tile is made here in the reader's language and polled as it stands; the script only moves it
in. States, words and marks are those of the house's table and nowhere else. Whether a recorder may be taken
is said by exactly one of them, `sealed`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton
from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext, ngettext

from core.clock import utc_now
from core.digest import sha256_hex
from core.errors import SealdockError, all_errors
from ingest.status import BayStatus, Message, TileState, read_status
from webconsole.context import console
from webconsole.display.wording import silence
from webconsole.gate import public
from webconsole.i18n import current_locale, time_left
from webconsole.page import render

blueprint = Blueprint("dock", __name__)
SIZES = ((4, "huge"), (8, "large"), (24, "medium"))  # most bays of each size of tile; more are small
BREAKS = (
    "\uff0c",
    "\uff1a",
    ", ",
    ": ",
)  # comma and colon of both scripts: where a tile's sentence goes on in its second line

TONES = {
    TileState.EMPTY: ("quiet", "circle-dashed"),
    TileState.RECOGNISING: ("working", "scan-search"),
    TileState.COPYING: ("working", "download"),
    TileState.VERIFYING: ("working", "seal-half"),
    TileState.SEALED: ("safe", "seal-closed"),
    TileState.CLEARING: ("working", "eraser"),
    TileState.PARTIAL: ("person", "triangle-alert"),
    TileState.INTERRUPTED: ("person", "unplug"),
    TileState.UNKNOWN: ("person", "circle-help"),
    TileState.FAULT: ("fault", "octagon-alert"),
}
COUNTING = frozenset({TileState.COPYING, TileState.VERIFYING, TileState.CLEARING})


@dataclass(frozen=True)
class Tile:
    """One bay, ready to be written into the page."""

    number: str
    state: str
    tone: str
    mark: str
    lead: str
    advice: str
    name: str
    officer: str
    next: str
    files: str
    left: str
    permille: int
    shows_bar: bool
    label: str


@dataclass(frozen=True)
class Board:
    """The whole board; `size` is how large its tiles can be."""

    bays: tuple[Tile, ...]
    size: str
    is_stale: bool
    zone: str
    clock: str
    date: str


@blueprint.get("/dock")
@public
def show() -> Response:
    """The board as a page that keeps itself true."""
    return render("dock/board.html", board=board())


@blueprint.get("/dock/tiles")
@public
def tiles() -> Response:
    """The board in the reader's words; 304 while nothing moved."""
    now = board()
    response = jsonify({"bays": [asdict(bay) for bay in now.bays], "is_stale": now.is_stale})
    response.set_etag(sha256_hex(response.get_data())[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def board() -> Board:
    """What the bays are doing now; every bay of the settings has a tile, spoken of or not."""
    settings = console().settings
    status = read_status(settings.run / "dock.json")
    spoken = {bay.number: bay for bay in status.bays}
    numbers = sorted({bay.number for bay in settings.dock.bays} | {n for n in spoken if n}) + [
        n for n in spoken if not n
    ]
    here = utc_now().astimezone(ZoneInfo(settings.station.timezone))
    said = (spoken.get(number, BayStatus(number=number)) for number in numbers)
    return Board(
        bays=tuple(silent_tile(bay.number) if status.is_stale else tile(bay) for bay in said),
        size=next((size for most, size in SIZES if len(numbers) <= most), "small"),
        is_stale=status.is_stale,
        zone=settings.station.timezone,
        clock=f"{here:%H:%M}",
        date=format_skeleton("MMMEd", here, locale=current_locale()),
    )


def tile(bay: BayStatus) -> Tile:
    """One bay in the reader's words."""
    tone, mark = TONES[bay.state]
    words = _words(bay)
    lead, advice = _split(words)
    number = str(bay.number or "+")
    return Tile(
        number=number,
        state=bay.state.value,
        tone=tone,
        mark=mark,
        lead=lead,
        advice=advice,
        name=bay.officer_name or bay.officer_number or bay.recorder_serial or "",
        officer=(bay.officer_number or "") if bay.officer_name else "",
        next=_next_step(bay),
        files=_files(bay),
        left=time_left(bay.seconds_left) if bay.state in COUNTING else "",
        permille=round(1000 * bay.bytes_done / bay.bytes_total) if bay.bytes_total else 0,
        shows_bar=bay.state in COUNTING,
        label=gettext("Bay %(number)s: %(words)s.", number=number, words=words),
    )


def silent_tile(number: int) -> Tile:
    """A bay of which nothing is known any more: whatever was said of it last, nobody may rely on it."""
    unknown = tile(BayStatus(number=number, state=TileState.UNKNOWN))
    words = silence()
    lead, advice = _split(words)
    return replace(
        unknown,
        lead=lead,
        advice=advice,
        next=gettext("The dock does not answer. Leave the recorder where it is."),
        label=gettext("Bay %(number)s: %(words)s.", number=unknown.number, words=words),
    )


def _words(bay: BayStatus) -> str:
    words = {
        TileState.EMPTY: gettext("Empty"),
        TileState.RECOGNISING: gettext("Recognising"),
        TileState.COPYING: gettext("Copying, do not remove"),
        TileState.VERIFYING: gettext("Verifying and sealing, do not remove"),
        TileState.SEALED: gettext("Sealed, safe to remove"),
        TileState.CLEARING: gettext("Clearing the card, do not remove"),
        TileState.PARTIAL: gettext("Some files not taken, ask a custodian"),
        TileState.INTERRUPTED: gettext("Interrupted, put it back to continue"),
        TileState.UNKNOWN: gettext("Unregistered device"),
        TileState.FAULT: gettext("Fault: ask a custodian"),
    }
    return str(words[bay.state])


def _split(words: str) -> tuple[str, str]:
    for mark in BREAKS:
        lead, found, advice = words.partition(mark)
        if found:
            return lead + mark.strip(), advice
    return words, ""


def _files(bay: BayStatus) -> str:
    if not bay.files_total:
        return ""
    if bay.state in COUNTING:
        return str(gettext("%(done)s of %(total)s files", done=bay.files_done, total=bay.files_total))
    return str(ngettext("%(num)s file", "%(num)s files", bay.files_total))


def _next_step(bay: BayStatus) -> str:
    if bay.message is not None:
        return _sentence(bay.message)
    if bay.state is TileState.UNKNOWN:
        return str(gettext("Ask a custodian to register it. Nothing was read from it."))
    return ""


def _sentence(message: Message) -> str:
    """The error that the dock named, in the reader's language; its bare code where no class is known here."""
    known: dict[str, type[SealdockError]] = {error.code: error for error in all_errors()}
    error = known.get(message.code)
    if error is None:
        return message.code
    translated: str = gettext(error.sentence)
    try:
        return translated.format(**message.parameters)
    except (KeyError, IndexError):
        return translated
