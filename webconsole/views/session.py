"""Signing in and out, the second factor, confirming the password, language and theme."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext

from core.errors import SealdockError
from webconsole import gate
from webconsole.auth import cookie, totp
from webconsole.auth import session as sessions
from webconsole.auth import sign_in as signing
from webconsole.auth.account import Account
from webconsole.auth.sign_in import Begun
from webconsole.auth.throttle import ThrottledError
from webconsole.context import console, opener
from webconsole.forms.field import Form
from webconsole.gate import public, signed_in
from webconsole.i18n import LOCALES, sentence
from webconsole.page import THEMES, go, leave_notice, own_path, redirect_to, render
from webconsole.qr import svg_qr

blueprint = Blueprint("session", __name__)
PASSWORD_LIMIT = 1024
REFUSED = 403


@blueprint.get("/sign-in")
@public
def sign_in() -> Response:
    """The form; whoever is signed in already goes on."""
    if gate.account_or_none() is not None:
        return go(_next())
    return render("session/sign_in.html", next=_next(), username="", mistake="")


@blueprint.post("/sign-in")
@public
def check_sign_in() -> Response:
    """Check name and password."""
    username = request.form.get("username", "")[:PASSWORD_LIMIT]
    password = request.form.get("password", "")[:PASSWORD_LIMIT]
    visitor = gate.visitor()
    old = visitor.session_id if visitor else None
    try:
        begun = signing.sign_in(console(), username, password, _address(), old)
    except (signing.SignInRefusedError, ThrottledError) as error:
        return _again("session/sign_in.html", error, next=_next(), username=username[:64])
    return _go_on(begun)


@blueprint.get("/sign-in/code")
@public
def second_factor() -> Response:
    """The form for the code of the authenticator."""
    visitor = gate.visitor()
    if visitor is None:
        return redirect_to("session.sign_in", next=_next())
    if not visitor.awaits_factor:
        return go(_next())
    return render("session/second_factor.html", next=_next(), mistake="")


@blueprint.post("/sign-in/code")
@public
def check_second_factor() -> Response:
    """Check the code."""
    visitor = gate.visitor()
    if visitor is None or not visitor.awaits_factor:
        return redirect_to("session.sign_in", next=_next())
    try:
        begun = signing.give_code(console(), visitor, request.form.get("code", "")[:32], _address())
    except (signing.WrongCodeError, ThrottledError) as error:
        return _again("session/second_factor.html", error, next=_next())
    return _go_on(begun)


@blueprint.post("/sign-out")
@public
def sign_out() -> Response:
    """End the session, here and on the server."""
    visitor = gate.visitor()
    if visitor is not None:
        with console().db.writing() as session:
            sessions.end(session, visitor.session_id)
        opener().forget(visitor.session_id)
    response = redirect_to("session.sign_in")
    cookie.take_session(response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@blueprint.get("/confirm")
@signed_in
def confirm() -> Response:
    """The form that asks for the password again."""
    if gate.current_account().is_stepped_up:
        return go(_next())
    return render("session/confirm.html", next=_next(), mistake="")


@blueprint.post("/confirm")
@signed_in
def check_confirm() -> Response:
    """Check the password and go on to what needed it."""
    try:
        password = request.form.get("password", "")[:PASSWORD_LIMIT]
        signing.confirm(console(), gate.current_account(), password, _address())
    except (signing.WrongPasswordError, ThrottledError) as error:
        return _again("session/confirm.html", error, next=_next())
    return go(_next())


@blueprint.get("/my-account")
@signed_in
def my_account() -> Response:
    """One's own account: name, roles, second factor."""
    return render("session/my_account.html", enrolling=None, mistake="")


@blueprint.post("/my-account/second-factor")
@gate.signed_in
def enrol_second_factor() -> Response:
    """Make a secret, or check its first code; the password was typed within ten minutes."""
    signed = gate.current_account()
    if not signed.is_stepped_up:
        return redirect_to("session.confirm", next=url_for("session.my_account"))
    code, key = Form(request.form).text("code", limit=32, required=False), console().signer.private_text
    with console().db.writing() as session:
        account = session.get_one(Account, signed.id)
        if account.totp_confirmed:
            return redirect_to("session.my_account")
        if not code or account.totp_secret is None:
            totp.enrol(account, key)
        elif totp.accept(account, key, code):
            account.totp_confirmed = True
            sessions.end_all(session, account.id, keep=signed.session_id)
        enrolling = None if account.totp_confirmed else _enrolment(account, key)
    if enrolling is None:
        leave_notice("safe", gettext("The second factor is set up. From now on signing in asks for a code."))
        return redirect_to("session.my_account")
    mistake = sentence(signing.WrongCodeError()) if code else ""
    return render("session/my_account.html", 422 if mistake else 200, enrolling=enrolling, mistake=mistake)


@blueprint.post("/taste")
@public
def choose_taste() -> Response:
    """Remember language and theme in this browser, and the language in the account."""
    response = go(_next())
    locale, theme = request.form.get("locale", ""), request.form.get("theme", "")
    if locale in LOCALES:
        cookie.give_taste(response, cookie.LOCALE, locale)
        _remember_locale(locale)
    if theme in THEMES:
        cookie.give_taste(response, cookie.THEME, theme)
    return response


def _remember_locale(locale: str) -> None:
    account = gate.account_or_none()
    if account is not None and account.locale != locale:
        with console().db.writing() as session:
            session.get_one(Account, account.id).locale = locale


def _enrolment(account: Account, key: str) -> dict[str, object]:
    uri = totp.provisioning_uri(account, key, f"Sealdock {console().settings.station.name}")
    return {"qr": svg_qr(uri), "secret": totp.secret_text(account, key)}


def _again(template: str, error: SealdockError, **facts: object) -> Response:
    status = 429 if isinstance(error, ThrottledError) else REFUSED
    return render(template, status, mistake=sentence(error), **facts)


def _go_on(begun: Begun) -> Response:
    target = url_for("session.second_factor", next=_next()) if begun.awaits_factor else _next()
    response = go(target)
    cookie.give_session(response, begun.token)
    return response


def _next() -> str:
    return own_path(request.form.get("next") or request.args.get("next") or "/")


def _address() -> str:
    return request.remote_addr or ""
