"""Cookies: one for the session, one for a visitor who has not signed in, two for taste.

On TLS the names carry `__Host-` (RFC 6265bis section 4.1.3.2), so that no other host, path or plain
connection can plant them. SameSite=Strict: a link on a foreign page can open the console but not act, and
not even look, in a person's name. All are HttpOnly; no script of ours reads a cookie.
"""

from __future__ import annotations

from flask import Response, request

SESSION = "sealdock"
VISIT = "sealdock-visit"
LOCALE = "sealdock-locale"
THEME = "sealdock-theme"
TASTE_S = 365 * 24 * 3600


def session_token() -> str | None:
    """The token in the session cookie, None without one."""
    return request.cookies.get(_name(SESSION))


def visit_token() -> str | None:
    """The token of a visitor who has not signed in, None at the first visit."""
    return request.cookies.get(_name(VISIT))


def give_session(response: Response, token: str) -> None:
    """Set the session cookie; it ends with the browser, the server's time-outs end it earlier."""
    _set(response, _name(SESSION), token)
    _drop(response, _name(VISIT))


def take_session(response: Response) -> None:
    """Remove the session cookie."""
    _drop(response, _name(SESSION))


def give_visit(response: Response, token: str) -> None:
    """Set the visitor's cookie."""
    _set(response, _name(VISIT), token)


def give_taste(response: Response, name: str, value: str) -> None:
    """Remember a language or theme for a year."""
    _set(response, name, value, max_age=TASTE_S)


def _name(name: str) -> str:
    return f"__Host-{name}" if request.is_secure else name


def _set(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=request.is_secure, httponly=True, samesite="Strict"
    )


def _drop(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Strict")
