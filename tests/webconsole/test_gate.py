from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from casework.access.permission import TABLE, Permission, Role, allows
from casework.evidence.viewing import DenialCount
from webconsole.app import create_app
from webconsole.auth.session import WebSession, csrf_token
from webconsole.gate import UndeclaredViewError, access_of, permits, public, signed_in

if TYPE_CHECKING:
    from conftest import House

SAMPLE_ID = "01JQ0000000000000000000000"
MakeApp = Callable[..., Flask]


def one_view(view: Callable[[], str], name: str = "extra") -> Blueprint:
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule(f"/{name}", "show", view, methods=["GET", "POST"])
    return blueprint


def test_a_view_that_declares_nothing_prevents_the_start(make_app: MakeApp) -> None:
    with pytest.raises(UndeclaredViewError) as refused:
        make_app(one_view(lambda: "secret"))
    assert refused.value.parameters["endpoints"] == "extra.show"


def test_a_view_declares_once() -> None:
    with pytest.raises(TypeError):
        public(permits(Permission.DOCK_VIEW)(lambda: ""))


def test_permits_needs_a_permission() -> None:
    with pytest.raises(TypeError):
        permits()


def test_every_permission_decides_for_every_role(house: House, make_app: MakeApp) -> None:
    views = [one_view(permits(p)(lambda: "shown"), f"view-{i}") for i, p in enumerate(Permission)]
    app = make_app(*views)
    for role in Role:
        client = app.test_client()
        house.sign_in(client, house.account(role.value.replace("_", "-"), role))
        for i, permission in enumerate(Permission):
            expected = 200 if role in TABLE[permission] else 403
            assert client.get(f"/view-{i}").status_code == expected, (role, permission)


def test_the_signed_out_are_sent_to_sign_in_and_come_back(make_app: MakeApp) -> None:
    client = make_app(one_view(permits(Permission.DOCK_VIEW)(lambda: "shown"))).test_client()
    answer = client.get("/extra?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/extra?page%3D2")


def test_every_route_and_role(house: House, app: Flask) -> None:
    """The whole console: every route and method for every role and signed out, none without its permission."""
    people = {role: house.account(role.value.replace("_", "-"), role) for role in Role}
    clients = {role: app.test_client() for role in Role}
    tokens = {role: csrf_token(house.sign_in(clients[role], people[role])) for role in Role}
    for endpoint, path, method in routes(app):
        access = access_of(app.view_functions[endpoint])
        assert access is not None
        if not access.account:
            continue
        assert app.test_client().open(path, method=method).status_code in {303, 401}, (method, path)
        for role, client in clients.items():
            answer = client.open(path, method=method, headers={"X-CSRF-Token": tokens[role]})
            assert answer.status_code < 500 or answer.status_code == 503, (method, path, role)
            if access.permissions and not any(allows({role}, p) for p in access.permissions):
                assert answer.status_code == 403, (method, path, role)


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Endpoint, a path that fits it, and method, for every route but the static files."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        values = {name: 0 if name in {"number", "index"} else SAMPLE_ID for name in rule.arguments}
        with app.test_request_context():
            path = app.url_for(rule.endpoint, **values)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, path, method


def test_a_refused_attempt_is_counted_with_its_subject(house: House, app: Flask) -> None:
    client, account = app.test_client(), house.account("admin", Role.ADMINISTRATOR)
    house.sign_in(client, account)
    for _ in range(3):
        assert client.get(f"/media/{SAMPLE_ID}/original").status_code == 403
    with house.db.reading() as session:
        rows = session.scalars(select(DenialCount)).all()
    assert sum(row.count for row in rows) == 3
    assert {(row.actor, row.subject_id) for row in rows} == {(account.id, SAMPLE_ID)}


def test_a_session_that_awaits_its_second_factor_opens_nothing(house: House, make_app: MakeApp) -> None:
    client = make_app(one_view(signed_in(lambda: "shown"))).test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN), awaits_factor=True)
    answer = client.get("/extra")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in/code?next=/extra")


def test_step_up_is_asked_for_and_remembered(house: House, make_app: MakeApp) -> None:
    app = make_app(one_view(permits(Permission.DISCLOSURE_MAKE, step_up=True)(lambda: "shown")))
    client: FlaskClient = app.test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    assert client.get("/extra").text == "shown"  # signing in is typing the password
    _forget_step_up(house)
    answer = client.get("/extra")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/confirm?next=/extra")


def test_the_application_starts_with_every_view_declared(house: House) -> None:
    app = create_app(house.context)
    assert all(access_of(view) is not None for view in app.view_functions.values())


def _forget_step_up(house: House) -> None:
    with house.db.writing() as session:
        session.execute(update(WebSession).values(step_up_at=None))
