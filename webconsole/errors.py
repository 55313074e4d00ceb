"""Every failure becomes a page with a sentence, a reference and what to do; never a traceback.

A SealdockError says itself what happened; this module only finds its HTTP status. An HTTP error of the
framework gets one of our sentences. Anything else is a mistake in the program: it is logged whole under the
reference that the page shows, and the page shows nothing of it. Programs (`/api`, `/media`, fetch) get JSON,
htmx gets a fragment for `#notices` (HX-Retarget), people get a page.
"""

from __future__ import annotations

from secrets import token_hex

from flask import Flask, Response, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from werkzeug.exceptions import HTTPException

from core import log
from core.canonical import Json
from core.errors import Exit, SealdockError
from webconsole.gate import FactorNeededError, SignInNeededError, StepUpNeededError
from webconsole.i18n import sentence
from webconsole.page import go, is_fragment

STATUS_BY_EXIT = {Exit.YES: 400, Exit.NO: 409, Exit.WRONG_USE: 400, Exit.CANNOT: 503}
STATUS = {  # by the code's last word first, then by exit code
    "webconsole.sign_in_needed": 401,
    "webconsole.factor_needed": 401,
    "webconsole.step_up_needed": 403,
    "webconsole.denied": 403,
    "webconsole.csrf": 403,
    "webconsole.throttled": 429,
    "webconsole.form": 422,
    "webconsole.not_found": 404,
    "webconsole.range": 416,
    "webconsole.no_grant": 403,
    "webconsole.not_shown": 415,
    "webconsole.wrong_code": 403,
    "vault.disposed": 410,
    "vault.payload": 500,
}
SENTENCES = {
    400: lazy_gettext("The request could not be understood; nothing was changed. Go back and try again."),
    404: lazy_gettext(
        "There is no such page, or what it showed is not here. Check the address or search for it."
    ),
    405: lazy_gettext("This address does not take that kind of request; nothing was changed."),
    413: lazy_gettext("What was sent is too large; nothing was changed. Send less at once."),
    414: lazy_gettext("The address is too long; nothing was changed."),
    415: lazy_gettext("What was sent has the wrong form; nothing was changed."),
    421: lazy_gettext("This console does not answer to that name. Use the address on the station's label."),
}
TITLES = {
    400: lazy_gettext("This could not be done"),
    401: lazy_gettext("Please sign in"),
    403: lazy_gettext("Not allowed"),
    404: lazy_gettext("Not found"),
    409: lazy_gettext("This was not possible"),
    422: lazy_gettext("Please look again"),
    429: lazy_gettext("Too many tries"),
}
BROKEN = lazy_gettext(
    "Something in the console failed. The sealed recordings are not touched by it. "
    "Try again; if it happens again, give the administrator the reference below."
)
_log = log.get(__name__)


class NotFoundError(SealdockError):
    """What was asked for is not here (or this account may not know that it is)."""

    code = "webconsole.not_found"
    sentence = "There is no such {what}, or what it showed is not here. Check the address or search for it."
    exit_code = Exit.NO


def install(app: Flask) -> None:
    """Answer every kind of failure."""
    app.register_error_handler(SealdockError, answer_sealdock_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_mistake)


def status_of(error: SealdockError) -> int:
    """The HTTP status of an error of ours."""
    if error.code in STATUS:
        return STATUS[error.code]
    last = error.code.rpartition(".")[2]
    if last.startswith(("no_such", "unknown", "not_found")):
        return 404
    return STATUS_BY_EXIT[error.exit_code]


def answer_sealdock_error(error: SealdockError) -> Response:
    """Its sentence, or the page where a person can mend it."""
    if wants_page() or is_fragment():
        here = request.full_path.rstrip("?") if request.method == "GET" else _came_from()
        if isinstance(error, SignInNeededError):
            return go(url_for("session.sign_in", next=here))
        if isinstance(error, FactorNeededError):
            return go(url_for("session.second_factor", next=here))
        if isinstance(error, StepUpNeededError):
            return go(url_for("session.confirm", next=here))
    status = status_of(error)
    if status >= 500:  # noqa: PLR2004
        _log.warning("request failed", code=error.code, path=request.path, error=str(error))
    return answer(status, error.code, sentence(error))


def answer_http_error(error: HTTPException) -> ResponseReturnValue:
    """One of our sentences for what the framework refused; its headers (Allow, Content-Range) stay."""
    if error.response is not None:
        return error.get_response()
    status = error.code or 500
    text = str(SENTENCES.get(status, SENTENCES[400] if status < 500 else BROKEN))  # noqa: PLR2004
    response = answer(status, f"http.{status}", text)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def answer_mistake(error: Exception) -> Response:
    """Log it whole; show a reference."""
    reference = token_hex(4)
    _log.error("unexpected failure", reference=reference, path=request.path, exc_info=error)
    return answer(500, "webconsole.failed", str(BROKEN), reference)


def answer(status: int, code: str, text: str, reference: str = "") -> Response:
    """The failure as a page, a fragment or JSON, whichever was asked for."""
    if is_fragment():
        body = render_template("session/error_fragment.html", text=text, reference=reference)
        return Response(
            body, status, {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML"}, mimetype="text/html"
        )
    if not wants_page():
        return as_json(status, code, text, reference)
    try:
        body = render_template(
            "error.html",
            status=status,
            title=_title(status),
            sentence=text,
            next_step="",
            reference=reference,
        )
    except Exception as cause:  # noqa: BLE001  whatever fails here, the reader still gets the sentence
        _log.error("the error page itself failed", reference=reference, exc_info=cause)
        return Response(text, status, mimetype="text/plain")
    return Response(body, status, mimetype="text/html")


def as_json(status: int, code: str, text: str, reference: str = "") -> Response:
    """The failure for a program."""
    body: Json = {"code": code, "sentence": text} | ({"reference": reference} if reference else {})
    response = jsonify(body)
    response.status_code = status
    return response


def wants_page() -> bool:
    """Whether a person looks at the answer."""
    if request.path.startswith(("/api/", "/media/", "/static/")):
        return False
    if request.headers.get("Sec-Fetch-Dest", "document") not in {"document", "iframe"}:
        return False
    return request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "text/html"


def _title(status: int) -> str:
    if status >= 500:  # noqa: PLR2004
        return str(lazy_gettext("This did not work"))
    return str(TITLES.get(status, TITLES[400]))


def _came_from() -> str:
    referrer = request.referrer or ""
    own = request.host_url.rstrip("/")
    return referrer.removeprefix(own) if referrer.startswith(own + "/") else "/"
