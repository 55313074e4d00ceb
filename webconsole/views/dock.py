"""The dock board: one tile a bay, readable from two metres, public because it shows no footage.

Every word of a tile is made on the server in the reader's language and polled as it stands; the script only
moves it in. Invariant: a tile is never green on old news. Each answer says in `X-Dock-Age-Ms` how old its news
is, also when it says that nothing moved, and the page stops believing it by its own watch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton
from flask import Blueprint, Response, current_app, request

from core.canonical import Json
from core.clock import utc_now
from core.digest import sha256_hex
from ingest.status import STALE_S, BayStatus, DockStatus, read_status
from webconsole.context import console
from webconsole.display.night import Night
from webconsole.display.tile import ANSWERS, Answer, Tile, answer_words, silent_tile, tile
from webconsole.gate import public
from webconsole.i18n import current_locale
from webconsole.page import render

blueprint = Blueprint("dock", __name__)
SIZES = ((4, "huge"), (8, "large"), (24, "medium"))  # most bays of each size of tile; more are small
COLUMNS = (
    (1, 1), (2, 2), (3, 3), (4, 2), (6, 3), (8, 4), (12, 4), (15, 5), (20, 5),
    (24, 6), (30, 6), (35, 7), (48, 8), (70, 10),
)  # fmt: skip
MOST_COLUMNS = 11
AGE_HEADER = "X-Dock-Age-Ms"
MARKS = {answer: mark for answer, mark in ANSWERS.values() if mark != "answer-fault"}


@dataclass(frozen=True)
class Board:
    """The whole board at one moment."""

    bays: tuple[Tile, ...]
    is_stale: bool
    zone: str
    clock: str
    date: str
    is_night: bool
    age_ms: int

    @property
    def size(self) -> str:
        """How large its tiles can be."""
        return next((size for most, size in SIZES if len(self.bays) <= most), "small")

    @property
    def columns(self) -> int:
        """How many tiles stand beside each other on a wide screen."""
        return next((columns for most, columns in COLUMNS if len(self.bays) <= most), MOST_COLUMNS)

    @property
    def rows(self) -> int:
        """How many rows that makes; on an upright screen they are the columns."""
        return -(-len(self.bays) // self.columns) if self.bays else 1

    @property
    def summary(self) -> list[dict[str, str]]:
        """How many bays have which answer, the one that needs a person first."""
        count = Counter(bay.answer for bay in self.bays)
        return [
            {"answer": answer.value, "count": str(count[answer.value]),
             "words": answer_words(answer), "mark": MARKS[answer]}
            for answer in (Answer.HELP, Answer.STAY, Answer.SAFE)
        ]  # fmt: skip


@blueprint.get("/dock")
@public
def show() -> Response:
    """The board as a page that keeps itself true."""
    return render(
        "dock/board.html", board=board(), blank=tile(BayStatus(number=0)), silent=vars(silent_tile(0)),
        stale_ms=int(STALE_S * 1000),
    )  # fmt: skip


@blueprint.get("/dock/tiles")
@public
def tiles() -> Response:
    """The board in the reader's words; 304 while nothing moved."""
    now = board()
    response = current_app.response_class(current_app.json.dumps(_spoken(now)), mimetype="application/json")
    response.set_etag(sha256_hex(response.get_data())[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers[AGE_HEADER] = str(now.age_ms)
    response.vary.update(("Cookie", "Accept-Language"))
    response.make_conditional(request)
    return response


def board() -> Board:
    """What the bays are doing now; every bay of the settings has a tile, spoken of or not."""
    settings = console().settings
    status = read_status(settings.run / "dock.json")
    zone = settings.station.timezone
    here = utc_now().astimezone(ZoneInfo(zone))
    return Board(
        bays=tuple(_tiles(status, {bay.number for bay in settings.dock.bays}, zone)),
        is_stale=status.is_stale,
        zone=zone,
        clock=f"{here:%H:%M}",
        date=_day(here),
        is_night=Night.of(settings.dock).holds(here),
        age_ms=_age_ms(status),
    )


def _tiles(status: DockStatus, mapped: set[int], zone: str) -> list[Tile]:
    """In the order of their numbers; what is outside the bays comes last."""
    spoken = {bay.number: bay for bay in status.bays}
    numbers = sorted(mapped | {n for n in spoken if n}) + [n for n in spoken if not n]
    if status.is_stale:
        return [silent_tile(number) for number in numbers]
    return [_tile(spoken.get(number) or BayStatus(number=number), zone) for number in numbers]


def _tile(bay: BayStatus, zone: str) -> Tile:
    is_empty = bay == BayStatus(number=bay.number)
    return _empty(bay.number, current_locale()) if is_empty else tile(bay, zone)


@cache
def _empty(number: int, _locale: str) -> Tile:
    """Made once a language: most bays are empty most of the day, and each board asks twice a second."""
    return tile(BayStatus(number=number))


def _age_ms(status: DockStatus) -> int:
    """How old the news is; news from a clock ahead of ours is as new as any."""
    longest = int(STALE_S * 1000) + 1
    return longest if status.is_stale else min(longest, max(0, round(status.age_s * 1000)))


def _day(here: datetime) -> str:
    return str(format_skeleton("MMMEd", here, locale=current_locale()))


def _spoken(now: Board) -> Json:
    return {
        "bays": [vars(bay) for bay in now.bays],
        "is_stale": now.is_stale,
        "is_night": now.is_night,
        "clock": now.clock,
        "date": now.date,
        "summary": now.summary,
    }
