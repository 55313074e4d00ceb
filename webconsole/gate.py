"""The gate: default deny.

Invariant: no view runs unless its access was declared, and the application does not start while one is not.
A view says who may call it with exactly one of

    @permits(Permission.X)                  accounts whose roles hold X (several: any one of them)
    @permits(Permission.X, step_up=True)    and whose password was typed again within ten minutes
    @signed_in                              any account
    @public                                 everybody; never for a view that shows evidence

The check runs before the view, in one place, and a refused attempt of a signed-in account becomes a `denied`
entry. A view that can only tell from the row whether the account may see it calls `demand`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Flask, current_app, g, request

from casework.access.permission import Permission, allows
from casework.evidence.viewing import record_denied
from core.errors import Exit, SealdockError
from vault.formats.entry import is_ulid
from webconsole.auth.cookie import session_token
from webconsole.auth.session import SignedIn, find
from webconsole.context import console

View = TypeVar("View", bound=Callable[..., object])
_MARK = "sealdock_access"
POLL_HEADER = "X-Sealdock-Poll"  # a page that refreshes itself must not keep an abandoned session alive


@dataclass(frozen=True)
class Access:
    """Who may call a view."""

    permissions: frozenset[Permission] = frozenset()
    account: bool = True
    step_up: bool = False


class UndeclaredViewError(SealdockError):
    """A view says nothing about who may call it."""

    code = "webconsole.undeclared_view"
    sentence = (
        "The console did not start: the pages {endpoints} say nothing about who may see them. "
        "This is a mistake in the program; install the release again."
    )


class SignInNeededError(SealdockError):
    """Nobody is signed in."""

    code = "webconsole.sign_in_needed"
    sentence = "Please sign in first. Nothing was shown and nothing was changed."
    exit_code = Exit.NO


class FactorNeededError(SealdockError):
    """The password was right; the second factor is still to come."""

    code = "webconsole.factor_needed"
    sentence = "Please enter the code from your authenticator to finish signing in."
    exit_code = Exit.NO


class StepUpNeededError(SealdockError):
    """The password must be typed again for this."""

    code = "webconsole.step_up_needed"
    sentence = "Please confirm your password to go on; nothing has happened yet."
    exit_code = Exit.NO


class DeniedError(SealdockError):
    """The account's roles do not allow this."""

    code = "webconsole.denied"
    sentence = (
        "Your account may not do this, and nothing was shown or changed. The attempt was recorded. "
        "If your work needs it, ask the evidence custodian."
    )
    exit_code = Exit.NO


def permits(*permissions: Permission, step_up: bool = False) -> Callable[[View], View]:
    """The view is for accounts that hold any one of `permissions`."""
    if not permissions:
        raise TypeError("permits() needs a permission; use @signed_in or @public to say that none is needed")
    return _declare(Access(frozenset(permissions), step_up=step_up))


def signed_in(view: View) -> View:
    """The view is for every account, whatever its roles (its own password, its own second factor)."""
    return _declare(Access())(view)


def public(view: View) -> View:
    """The view is for everybody and shows no evidence."""
    return _declare(Access(account=False))(view)


def access_of(view: Callable[..., object]) -> Access | None:
    """What the view declared, None when it declared nothing."""
    access = getattr(view, _MARK, None)
    return access if isinstance(access, Access) else None


def refuse_undeclared(app: Flask) -> None:
    """Raise UndeclaredViewError when any endpoint is silent about its access."""
    silent = sorted(name for name, view in app.view_functions.items() if access_of(view) is None)
    if silent:
        raise UndeclaredViewError(endpoints=", ".join(silent))


def enforce() -> None:
    """Let the request through to its view or raise; runs before every view."""
    if request.endpoint is None:
        return  # no such page: the router answers, and says nothing about what exists
    access = access_of(current_app.view_functions[request.endpoint])
    if access is None:
        raise UndeclaredViewError(endpoints=request.endpoint)
    if not access.account:
        return
    account = current_account()
    if access.permissions:
        _allow_any(account, access.permissions, _subject())
    if access.step_up and not account.is_stepped_up:
        raise StepUpNeededError


def visitor() -> SignedIn | None:
    """The session of this request, also one that still waits for its second factor; None without one."""
    if "sealdock_visitor" not in g:
        polls = request.headers.get(POLL_HEADER) is not None
        g.sealdock_visitor = find(console().db, session_token(), touch=not polls)
    found = g.sealdock_visitor
    return found if isinstance(found, SignedIn) else None


def account_or_none() -> SignedIn | None:
    """Who is fully signed in, None when nobody is."""
    found = visitor()
    return None if found is None or found.awaits_factor else found


def current_account() -> SignedIn:
    """Who is fully signed in. Raises SignInNeededError or FactorNeededError."""
    found = visitor()
    if found is None:
        raise SignInNeededError
    if found.awaits_factor:
        raise FactorNeededError
    return found


def may(*permissions: Permission | str) -> bool:
    """Whether the account holds any of the permissions; for showing and hiding, never for deciding."""
    account = account_or_none()
    return account is not None and any(allows(account.roles, Permission(p)) for p in permissions)


def demand(permission: Permission, subject_id: str | None = None) -> SignedIn:
    """The account, if it holds `permission`; otherwise count the attempt and raise DeniedError."""
    account = current_account()
    _allow_any(account, frozenset({permission}), subject_id)
    return account


def refuse(permission: Permission, subject_id: str | None = None) -> DeniedError:
    """Count the attempt for the log and return the error to raise: the row, not the role, forbids it."""
    context, account = console(), current_account()
    with context.db.writing() as session:
        record_denied(session, context.submitter, account.id, permission, subject_id)
    context.submitter.ring()
    return DeniedError()


def _subject() -> str | None:
    return next((value for value in (request.view_args or {}).values() if is_ulid(value)), None)


def _allow_any(account: SignedIn, wanted: frozenset[Permission], subject_id: str | None = None) -> None:
    if not any(allows(account.roles, permission) for permission in wanted):
        raise refuse(min(wanted), subject_id)


def _declare(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        if access_of(view) is not None:
            raise TypeError(f"{view!r} declares its access twice")
        setattr(view, _MARK, access)
        return view

    return mark
