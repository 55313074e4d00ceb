from __future__ import annotations

import re
import time
from base64 import b32decode
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from casework.access.permission import Role
from webconsole.auth.account import Account
from webconsole.auth.session import WebSession

if TYPE_CHECKING:
    from conftest import House
    from werkzeug.test import TestResponse


def type_in(
    house: House, client: FlaskClient, username: str, password: str, target: str = "/"
) -> TestResponse:
    token = house.token(client.get("/sign-in").text)
    body = {"csrf_token": token, "username": username, "password": password, "next": target}
    return client.post("/sign-in", data=body)


def post(house: House, client: FlaskClient, path: str, **fields: str) -> TestResponse:
    token = house.token(client.get("/my-account").text)
    return client.post(path, data={"csrf_token": token, **fields})


def sessions(house: House) -> int:
    with house.db.reading() as work:
        return work.scalar(select(func.count()).select_from(WebSession)) or 0


def test_signing_in_goes_where_one_wanted_to_go(house: House, client: FlaskClient) -> None:
    house.account("wang", Role.CUSTODIAN)
    answer = type_in(house, client, "Wang", house.password, "/my-account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/my-account")
    assert "HttpOnly" in answer.headers.getlist("Set-Cookie")[0]
    assert client.get("/my-account").status_code == 200


def test_nobody_is_sent_to_another_site(house: House, client: FlaskClient) -> None:
    house.account("wang", Role.CUSTODIAN)
    answer = type_in(house, client, "wang", house.password, "https://evil.example/")
    assert answer.headers["Location"] == "/"


def test_wrong_sign_in_says_so_and_keeps_the_name(house: House, client: FlaskClient) -> None:
    answer = type_in(house, client, "wang<script>", "wrong")
    assert answer.status_code == 403
    assert "wang&lt;script&gt;" in answer.text
    assert "wrong" not in re.sub(r"<[^>]+>", "", answer.text).lower().replace("wrong tries", "")
    assert sessions(house) == 0


def test_known_and_unknown_names_get_the_same_page(house: House, client: FlaskClient) -> None:
    house.account("wang", Role.CUSTODIAN)
    pages = []
    for username in ("wang", "wong"):
        fresh = client.application.test_client()
        page = type_in(house, fresh, username, "wrong").text
        pages.append(re.sub(r"[0-9a-f]{64}", "", page).replace(username, ""))
    assert pages[0] == pages[1]


def test_a_planted_session_gains_nothing(house: House, client: FlaskClient) -> None:
    """Fixation: the token that was there before signing in is not the one that is signed in."""
    house.account("wang", Role.CUSTODIAN)
    client.set_cookie("sealdock", "A" * 43)
    type_in(house, client, "wang", house.password)
    cookie = client.get_cookie("sealdock")
    assert cookie is not None
    assert cookie.value != "A" * 43
    thief = client.application.test_client()
    thief.set_cookie("sealdock", "A" * 43)
    assert thief.get("/my-account").status_code == 303


def test_signing_out_ends_the_session_on_the_server(house: House, client: FlaskClient) -> None:
    token = house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    answer = post(house, client, "/sign-out")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert sessions(house) == 0
    client.set_cookie("sealdock", token)
    assert client.get("/my-account").status_code == 303


def test_confirming_steps_up(house: House, client: FlaskClient) -> None:
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    with house.db.writing() as work:
        work.execute(update(WebSession).values(step_up_at=None))
    wrong = post(house, client, "/confirm", password="wrong", next="/my-account")
    assert wrong.status_code == 403
    right = post(house, client, "/confirm", password=house.password, next="/my-account")
    assert (right.status_code, right.headers["Location"]) == (303, "/my-account")
    with house.db.reading() as work:
        assert work.scalars(select(WebSession.step_up_at)).one() is not None


def test_enrolling_a_second_factor_and_signing_in_with_it(house: House, client: FlaskClient) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    house.sign_in(client, account)
    other = client.application.test_client()
    house.sign_in(other, account)
    page = post(house, client, "/my-account/second-factor").text
    assert "<svg" in page
    assert "style=" not in page
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    assert post(house, client, "/my-account/second-factor", code="000000").status_code == 422
    generator = TOTP(b32decode(secret[1]), 6, SHA1(), 30)  # noqa: S303
    done = post(house, client, "/my-account/second-factor", code=generator.generate(time.time()).decode())
    assert done.status_code == 303
    assert other.get("/my-account").status_code == 303  # the account's other sessions are over
    begun = type_in(house, other, "wang", house.password, "/my-account")
    assert begun.headers["Location"] == "/sign-in/code?next=/my-account"
    assert other.get("/my-account").status_code == 303
    next_code = generator.generate(time.time() + 30).decode()
    token = house.token(other.get("/sign-in/code").text)
    body = {"csrf_token": token, "code": next_code, "next": "/my-account"}
    assert other.post("/sign-in/code", data=body).headers["Location"] == "/my-account"
    assert other.get("/my-account").status_code == 200


def test_the_language_is_remembered_in_browser_and_account(house: House, client: FlaskClient) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    house.sign_in(client, account)
    answer = post(house, client, "/taste", locale="en", theme="dark", next="/my-account")
    assert answer.headers["Location"] == "/my-account"
    page = client.get("/my-account").text
    assert 'lang="en"' in page
    assert 'data-theme="dark"' in page
    with house.db.reading() as work:
        assert work.get_one(Account, account.id).locale == "en"
    post(house, client, "/taste", locale="xx", theme="neon")
    assert 'data-theme="dark"' in client.get("/my-account").text


def test_a_notice_is_shown_once(house: House, client: FlaskClient) -> None:
    from webconsole.page import leave_notice  # noqa: PLC0415

    token = house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    with client.application.test_request_context(headers={"Cookie": f"sealdock={token}"}):
        leave_notice("safe", "Linked <b>two</b>")
    assert "Linked &lt;b&gt;two&lt;/b&gt;" in client.get("/my-account").text
    assert "Linked" not in client.get("/my-account").text
