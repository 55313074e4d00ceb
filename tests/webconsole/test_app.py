from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from flask import Blueprint, Flask, request
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casework.access.permission import Permission, Role
from core.errors import SealdockError, all_errors
from webconsole.app import MAX_BODY_BYTES
from webconsole.errors import status_of
from webconsole.gate import permits, public
from webconsole.page import own_path

if TYPE_CHECKING:
    from conftest import House

MakeApp = Callable[..., Flask]
UNSAFE = ("post", "put", "patch", "delete")
SAMPLE_ID = "01JQ0000000000000000000000"
FIELDS = (  # every name that a form or query of the console uses
    "next", "q", "cursor", "username", "password", "code", "locale", "theme", "officer", "recorder", "linked",
    "media", "since", "until", "recording", "note", "case", "case_number", "purpose", "purpose_code", "number",
    "title", "kind", "stage", "party", "opened_on", "unit_id", "recipient",
)  # fmt: skip


@pytest.fixture
def probe(house: House, make_app: MakeApp) -> FlaskClient:
    """A signed-in custodian in a console with one page that changes something and one that breaks."""
    blueprint = Blueprint("probe", __name__)

    @blueprint.route("/probe", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @permits(Permission.CASE_CHANGE)
    def change() -> str:
        return "changed " + request.form.get("note", "")

    @blueprint.get("/broken")
    @public
    def fail() -> str:
        raise RuntimeError("a secret detail")

    client = make_app(blueprint).test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    return client


def token(client: FlaskClient, house: House) -> str:
    return house.token(client.get("/my-account").text)


def test_every_answer_carries_the_headers(client: FlaskClient) -> None:
    for path in ("/sign-in", "/nothing-here", "/media/01JQ0000000000000000000000/original"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" not in headers


def test_over_tls_the_browser_is_told_to_stay_there(client: FlaskClient) -> None:
    answer = client.get("/sign-in", base_url="https://localhost")
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    assert "__Host-sealdock-visit" in answer.headers["Set-Cookie"]
    assert "Secure; HttpOnly; Path=/; SameSite=Strict" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "evil:8443"])
def test_a_foreign_host_name_reaches_nothing(client: FlaskClient, host: str) -> None:
    assert client.get("/sign-in", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8443", "LOCALHOST:1", "[::1]:8443"])
def test_own_host_names_are_answered(client: FlaskClient, host: str) -> None:
    assert client.get("/sign-in", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
def test_an_unsafe_request_needs_the_token_of_its_session(
    house: House, probe: FlaskClient, method: str
) -> None:
    send = getattr(probe, method)
    assert send("/probe").status_code == 403
    assert send("/probe", data={"csrf_token": "0" * 64}).status_code == 403
    assert send("/probe", headers={"X-CSRF-Token": "ü"}).status_code == 403
    assert send("/probe", data={"csrf_token": token(probe, house)}).status_code == 200
    assert send("/probe", headers={"X-CSRF-Token": token(probe, house)}).status_code == 200


def test_the_token_of_another_session_is_worth_nothing(house: House, probe: FlaskClient) -> None:
    other = probe.application.test_client()
    house.sign_in(other, house.account("chen", Role.CUSTODIAN))
    assert probe.post("/probe", data={"csrf_token": token(other, house)}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_foreign_origin_is_refused_even_with_the_token(
    house: House, probe: FlaskClient, headers: dict[str, str]
) -> None:
    answer = probe.post("/probe", data={"csrf_token": token(probe, house)}, headers=headers)
    assert answer.status_code == 403


def test_a_mistake_in_the_program_shows_a_reference_and_nothing_else(probe: FlaskClient) -> None:
    answer = probe.get("/broken")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["Content-Security-Policy"]


def test_programs_get_json_and_htmx_gets_a_fragment(probe: FlaskClient) -> None:
    for_program = probe.get("/broken", headers={"Accept": "application/json"})
    assert for_program.json is not None
    assert set(for_program.json) == {"code", "sentence", "reference"}
    fragment = probe.get("/broken", headers={"HX-Request": "true"})
    assert fragment.headers["HX-Retarget"] == "#notices"
    assert "<html" not in fragment.text


def test_a_body_that_is_too_large_is_refused(house: House, probe: FlaskClient) -> None:
    body = {"csrf_token": token(probe, house), "note": "x" * (MAX_BODY_BYTES + 1)}
    assert probe.post("/probe", data=body).status_code == 413


def test_too_many_fields_are_refused(house: House, probe: FlaskClient) -> None:
    body = {"csrf_token": token(probe, house)} | {f"field-{i}": "" for i in range(1001)}
    answer = probe.post("/probe", data=body, content_type="multipart/form-data")
    assert answer.status_code == 413


def test_the_wrong_method_is_told_which_are_right(client: FlaskClient) -> None:
    answer = client.get("/sign-out")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_static_files_with_a_digest_are_kept_for_a_year(client: FlaskClient) -> None:
    with client.get("/static/icons.svg?v=0123456789ab") as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_every_error_has_a_status_that_is_an_answer() -> None:
    for error in all_errors(SealdockError):
        blank = error.__new__(error)
        assert 400 <= status_of(blank) < 600


@given(
    target=st.text(max_size=60)
    | st.sampled_from(["//evil", "/\\evil", "https://e", "/a\r\nb", "javascript:x"])
)
def test_nobody_is_sent_away_by_a_link(target: str) -> None:
    safe = own_path(target)
    assert safe.startswith("/")
    assert not safe.startswith(("//", "/\\"))
    assert safe.isprintable()


HOSTILE = st.text(max_size=200) | st.sampled_from(
    [
        "'; DROP TABLE account;--",
        "../../etc/passwd",
        "%00",
        "\x00",
        "\ud800",
        "<script>",
        "\U0001d54a\u202e",
        "-1",
        "9" * 400,
    ]
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=HOSTILE)
def test_hostile_parameters_are_never_a_server_error(shared_client: FlaskClient, value: str) -> None:
    """Every route and method, with the value in every query and form field that the console reads."""
    value = value.encode(errors="replace").decode()
    app = shared_client.application
    fields = dict.fromkeys(FIELDS, value) | {"csrf_token": token_of(shared_client)}
    for rule in app.url_map.iter_rules():
        if rule.endpoint in {"static", "session.sign_out"}:
            continue
        values = {name: 0 if name in {"number", "index"} else SAMPLE_ID for name in rule.arguments}
        with app.test_request_context():
            path = app.url_for(rule.endpoint, **values)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            where = {"query_string": fields} if method == "GET" else {"data": fields}
            status = shared_client.open(path, method=method, **where).status_code
            assert status < 500 or status == 503, (method, path, value)


@pytest.mark.parametrize(
    "identity", ["0", "ü", "01JQ000000000000000000000I", "01JQ00000000000000000000000", "a" * 26]
)
def test_what_is_no_id_is_no_page(house: House, client: FlaskClient, identity: str) -> None:
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    assert client.get(f"/media/{identity}/original").status_code == 404


@pytest.fixture
def shared_client(house: House, app: Flask) -> FlaskClient:
    client = app.test_client()
    house.sign_in(client, house.account("zhao", Role.CUSTODIAN))
    return client


def token_of(client: FlaskClient) -> str:
    page = client.get("/my-account").text
    return page.split('name="csrf_token" value="')[1][:64]


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in?next=http://[",
        "/confirm?next=//[x",
        "/recordings?cursor=" + base64.urlsafe_b64encode(b"[" * 3000).decode(),
        "/recordings?until=9999-12-31",
        "/recordings?since=0001-01-01",
        "/sign-in?next=%2F%2F%5B",
    ],
)
def test_what_nobody_types_is_no_failure(probe: FlaskClient, path: str) -> None:
    assert probe.get(path).status_code < 500


def test_an_origin_that_cannot_be_is_foreign(probe: FlaskClient, house: House) -> None:
    answer = probe.post("/probe", data={"csrf_token": token(probe, house)}, headers={"Origin": "http://["})
    assert answer.status_code == 403
