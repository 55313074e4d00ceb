"""No foreign page can act in a person's name.

Every unsafe request (1) must come from this origin as the browser itself says (Sec-Fetch-Site, Origin) and
(2) must carry the synchroniser token of its session in the field `csrf_token` or the header `X-CSRF-Token`.
A visitor who has not signed in has a token too, bound to a cookie of the visit. Forms write it with
`{{ csrf_field() }}`, scripts read it from `<meta name="csrf-token">`.
"""

from __future__ import annotations

import hmac
from secrets import token_urlsafe
from urllib.parse import urlsplit

from flask import Response, g, request
from markupsafe import Markup

from core.errors import Exit, SealdockError
from webconsole.auth.cookie import give_visit, session_token, visit_token
from webconsole.auth.session import TOKEN_BYTES, TOKEN_LENGTH, csrf_token
from webconsole.gate import visitor

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FIELD = "csrf_token"
HEADER = "X-CSRF-Token"


class CsrfError(SealdockError):
    """The request does not prove that it comes from a page of this console."""

    code = "webconsole.csrf"
    sentence = (
        "This page was open too long or the request came from elsewhere; nothing was changed. "
        "Load the page again and repeat the step."
    )
    exit_code = Exit.NO


def refuse_foreign() -> None:
    """Check (1), before anybody's account is looked at. Raises CsrfError."""
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        raise CsrfError
    origin = request.headers.get("Origin")
    if origin is not None and _host_of(origin) != request.host:
        raise CsrfError


def check_token() -> None:
    """Check (2), after the gate. Raises CsrfError."""
    if request.method in SAFE_METHODS:
        return
    given = request.headers.get(HEADER) or request.form.get(FIELD, "")
    secret = _secret()
    if secret is None or not hmac.compare_digest(csrf_token(secret).encode(), given.encode(errors="replace")):
        raise CsrfError


def page_token() -> str:
    """The token for a page that is being written; a visitor gets a cookie with the answer."""
    secret = _secret()
    if secret is None:
        if "sealdock_new_visit" not in g:
            g.sealdock_new_visit = token_urlsafe(TOKEN_BYTES)
        secret = g.sealdock_new_visit
    return csrf_token(secret)


def csrf_field() -> Markup:
    """The hidden field of a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, page_token())


def send_visit(response: Response) -> Response:
    """Give the visitor the cookie that `page_token` made."""
    fresh = g.pop("sealdock_new_visit", None)
    if fresh is not None:
        give_visit(response, fresh)
    return response


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no browser writes such an origin
        return None


def _secret() -> str | None:
    if visitor() is not None:
        return session_token()
    visit = visit_token()
    return visit if visit is not None and len(visit) == TOKEN_LENGTH else None
