"""Writing pages: one way to render, to redirect, to leave a notice, to name a static file.

What every template finds, besides Flask's own `url_for` and `request`:

    account          SignedIn or None         may(...)         permission values as text or enum
    locale           "zh_CN" | "en"           theme            "auto" | "light" | "dark"
    language         "zh-CN" | "en" for <html lang>
    station, bureau  names from the settings  notices          what the page before left to say
    csrf_field(), csrf_token()                asset("css/console.css")   url with a digest, cached for a year
    json_block("id", value)                   strings and numbers for scripts (a data block, no inline script)
    _(), ngettext(), pgettext()               filters of webconsole/i18n.py
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, render_template, request, send_from_directory, url_for
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from sqlalchemy import select, update

from webconsole import csrf, i18n
from webconsole.auth.cookie import THEME
from webconsole.auth.session import WebSession
from webconsole.context import console
from webconsole.gate import account_or_none, may, public, visitor

STATIC = Path(__file__).parent / "static"
YEAR_S = 365 * 24 * 3600
THEMES = ("auto", "light", "dark")
NoticeKind = Literal["safe", "attention", "fault"]


class Notice(NamedTuple):
    """A sentence left for the next page, already in the reader's language."""

    kind: str
    text: str


def render(template: str, status: int = 200, **facts: Any) -> Response:
    """The page as a response; the notices left for this session are shown once."""
    return Response(render_template(template, **facts), status=status, mimetype="text/html")


def redirect_to(endpoint: str, **values: Any) -> Response:
    """Go on to another page with GET, also out of an htmx request."""
    return go(url_for(endpoint, **values))


def go(target: str) -> Response:
    """Go on to a path of this console with GET, also out of an htmx request."""
    if is_fragment():
        return Response(status=204, headers={"HX-Redirect": target})
    return Response(status=303, headers={"Location": target})


def is_fragment() -> bool:
    """Whether htmx asks, so that a part of a page answers."""
    return request.headers.get("HX-Request") == "true"


def own_path(target: str, otherwise: str = "/") -> str:
    """`target` when it is a path on this console, else `otherwise`: nobody is sent away by a link."""
    is_path = target.startswith("/") and not target.startswith("//")
    if not is_path or not target.isprintable() or "\\" in target:
        return otherwise
    try:
        parts = urlsplit(target)
    except ValueError:  # a bracket where an address would stand
        return otherwise
    return otherwise if parts.scheme or parts.netloc else target


def leave_notice(kind: NoticeKind, text: str) -> None:
    """Say `text` on the next page of this session."""
    found = visitor()
    if found is None:
        return
    waiting = _waiting(found.session_id)
    written = json.dumps([*waiting, (kind, text)][-5:], ensure_ascii=False)
    with console().db.writing() as session:
        session.execute(update(WebSession).where(WebSession.id == found.session_id).values(notice=written))
    g.sealdock_notice_left = True


def take_notices() -> list[Notice]:
    """The notices of this session; taking them clears them."""
    found = visitor()
    if found is None or not (found.has_notice or g.get("sealdock_notice_left")):
        return []
    waiting = _waiting(found.session_id)
    with console().db.writing() as session:
        session.execute(update(WebSession).where(WebSession.id == found.session_id).values(notice=""))
    return [Notice(*pair) for pair in waiting]


def asset(name: str) -> str:
    """The URL of a static file, with its digest, so that a new release is a new URL."""
    return url_for("static", filename=name, v=_fingerprint(name, current_app.debug))


def json_block(identifier: str, value: object) -> Markup:
    """A JSON data block for a script to read; not a script itself, so the policy allows it."""
    return Markup('<script type="application/json" id="{}">{}</script>').format(
        identifier, htmlsafe_json_dumps(value)
    )


def theme() -> str:
    """The theme the reader chose; `auto` follows the machine."""
    chosen = request.cookies.get(THEME, "")
    return chosen if chosen in THEMES else THEMES[0]


def install(app: Flask) -> None:
    """Give the application its static files and the templates their words."""
    app.add_url_rule("/static/<path:filename>", "static", send_static)
    app.jinja_env.globals.update(
        may=may, csrf_field=csrf.csrf_field, csrf_token=csrf.page_token, asset=asset, json_block=json_block
    )
    app.context_processor(_page_facts)


@public
def send_static(filename: str) -> Response:
    """A static file; with a digest in its address it never changes."""
    is_versioned = "v" in request.args
    response = send_from_directory(STATIC, filename, conditional=True, max_age=YEAR_S if is_versioned else 0)
    if is_versioned:
        response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
    return response


def _page_facts() -> dict[str, object]:
    station = console().settings.station
    return {
        "account": account_or_none(),
        "locale": i18n.current_locale(),
        "language": i18n.current_locale().replace("_", "-"),
        "theme": theme(),
        "station": station.name,
        "bureau": station.bureau,
        "notices": take_notices(),
        "place": "",  # which entry of the rail the page belongs to; a view names its own
    }


def _waiting(session_id: str) -> list[tuple[str, str]]:
    with console().db.reading() as session:
        written = session.scalar(select(WebSession.notice).where(WebSession.id == session_id))
    return [(kind, text) for kind, text in json.loads(written)] if written else []


@cache
def _fingerprint(name: str, _debug: bool) -> str:  # noqa: FBT001
    path = STATIC / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "0"
