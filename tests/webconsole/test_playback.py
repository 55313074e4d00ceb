from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from casework.access.permission import Role
from casework.evidence.viewing import DenialCount, ViewedRecording, Viewing
from casework.people.officer import OfficerFacts, register_officer
from core.clock import new_id
from core.digest import sha256_hex
from ingest.media_facts import MediaFacts
from vault.keyd import KeydClient, RateLimitedError
from webconsole import playback
from webconsole.byterange import LARGEST_PIECE
from webconsole.keycache import KEEP_S, MOST_KEYS, KeyCache, KeyName, SealedKey

if TYPE_CHECKING:
    from conftest import House, Station

SIZE = 200_000  # three sealed chunks and a bit
CONTENT = random.Random(5).randbytes(SIZE)  # noqa: S311  sample bytes
NOBODY_ID = "01JQ0000000000000000000000"


def look(app: Flask, client: FlaskClient, recording_id: str, rendition: str | None = None) -> None:
    """Give the reason that opens the media addresses, as the recording's page does."""
    cookie = client.get_cookie("sealdock")
    assert cookie is not None
    with app.test_request_context(headers={"Cookie": f"sealdock={cookie.value}"}):
        playback.grant(recording_id, "case", "to sort the footage", rendition)


@pytest.fixture
def recording_id(station: Station) -> str:
    return station.seal(CONTENT)


@pytest.fixture
def viewer(house: House, app: Flask, recording_id: str) -> FlaskClient:
    """A custodian who has said why."""
    client = app.test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    look(app, client, recording_id)
    return client


def test_the_original_comes_out_as_it_went_in(viewer: FlaskClient, recording_id: str) -> None:
    answer = viewer.get(f"/media/{recording_id}/original")
    assert answer.status_code == 200
    assert answer.data == CONTENT
    assert answer.headers["ETag"] == f'"{sha256_hex(CONTENT)}"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.mimetype == "video/mp4"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, SIZE + 10), length=st.integers(0, 150_000))
def test_any_range_is_what_slicing_says(
    viewer: FlaskClient, recording_id: str, first: int, length: int
) -> None:
    answer = viewer.get(
        f"/media/{recording_id}/original", headers={"Range": f"bytes={first}-{first + length}"}
    )
    expected = CONTENT[first : first + length + 1]
    if not expected:
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
        return
    assert answer.status_code == 206
    assert answer.data == expected
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{SIZE}"
    assert int(answer.headers["Content-Length"]) == len(expected)


def test_suffix_and_open_ranges(viewer: FlaskClient, recording_id: str) -> None:
    path = f"/media/{recording_id}/original"
    assert viewer.get(path, headers={"Range": "bytes=-5"}).data == CONTENT[-5:]
    assert viewer.get(path, headers={"Range": f"bytes={SIZE - 3}-"}).data == CONTENT[-3:]
    assert viewer.get(path, headers={"Range": "bytes=-0"}).status_code == 416
    assert viewer.get(path, headers={"Range": "bytes=0-1,5-6"}).data == CONTENT


def test_an_open_range_of_a_large_file_comes_in_pieces(house: House, app: Flask, station: Station) -> None:
    content = random.Random(6).randbytes(LARGEST_PIECE + 70_000)  # noqa: S311  sample bytes
    recording_id = station.seal(content)
    client = app.test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    look(app, client, recording_id)
    got = bytearray()
    while len(got) < len(content):
        answer = client.get(f"/media/{recording_id}/original", headers={"Range": f"bytes={len(got)}-"})
        assert answer.status_code == 206
        got += answer.data
    assert bytes(got) == content


def test_conditions(viewer: FlaskClient, recording_id: str) -> None:
    path, etag = f"/media/{recording_id}/original", f'"{sha256_hex(CONTENT)}"'
    known = viewer.get(path, headers={"If-None-Match": f'"x", {etag}'})
    assert (known.status_code, known.data) == (304, b"")
    same = viewer.get(path, headers={"Range": "bytes=0-0", "If-Range": etag})
    assert (same.status_code, same.data) == (206, CONTENT[:1])
    changed = viewer.get(path, headers={"Range": "bytes=0-0", "If-Range": '"other"'})
    assert (changed.status_code, changed.data) == (200, CONTENT)


def test_head_says_how_much_and_sends_nothing(viewer: FlaskClient, recording_id: str) -> None:
    whole = viewer.head(f"/media/{recording_id}/original")
    assert (whole.status_code, whole.headers["Content-Length"], whole.data) == (200, str(SIZE), b"")
    part = viewer.head(f"/media/{recording_id}/original", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.headers["Content-Length"]) == (206, "10")


def test_without_a_reason_nothing_is_shown(house: House, app: Flask, recording_id: str) -> None:
    client = app.test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    answer = client.get(f"/media/{recording_id}/original")
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["code"] == "webconsole.no_grant"
    with house.db.reading() as work:
        assert work.scalar(select(func.count()).select_from(Viewing)) == 0


def test_one_persons_reason_does_not_open_it_to_another(
    house: House, viewer: FlaskClient, recording_id: str
) -> None:
    other = viewer.application.test_client()
    house.sign_in(other, house.account("chen", Role.CUSTODIAN))
    assert other.get(f"/media/{recording_id}/original").status_code == 403


def test_a_look_at_the_poster_does_not_open_the_film(house: House, app: Flask, recording_id: str) -> None:
    client = app.test_client()
    house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    look(app, client, recording_id, "poster")
    assert client.get(f"/media/{recording_id}/original").status_code == 403


def test_ranges_of_one_look_are_one_entry(house: House, viewer: FlaskClient, recording_id: str) -> None:
    for start in range(0, SIZE, 40_000):
        viewer.get(f"/media/{recording_id}/original", headers={"Range": f"bytes={start}-{start + 9}"})
    with house.db.reading() as work:
        assert work.scalar(select(func.count()).select_from(Viewing)) == 1


def test_an_officer_sees_only_what_that_officer_recorded(house: House, app: Flask, station: Station) -> None:
    with house.db.writing() as work:
        officer = OfficerFacts(number="060123", name="Li")
        officer_id = register_officer(work, house.context.submitter, None, officer)
    own = station.seal(CONTENT, officer_number="060123")
    foreign = station.seal(CONTENT[1:], officer_number="060999")
    client = app.test_client()
    house.sign_in(client, house.account("li", Role.OFFICER, officer_id=officer_id))
    for recording in (own, foreign):
        look(app, client, recording)
    assert client.get(f"/media/{own}/original").status_code == 200
    assert client.get(f"/media/{foreign}/original").status_code == 403
    with house.db.reading() as work:
        assert work.scalars(select(DenialCount.subject_id)).all() == [foreign]


def test_what_a_browser_cannot_show_is_not_handed_out(
    house: House, viewer: FlaskClient, recording_id: str
) -> None:
    for values in ({"play": "none"}, {"play": "direct", "mime": "text/html"}, {"play": "proxy"}):
        with house.db.writing() as work:
            work.execute(update(MediaFacts).values(**values))
        assert viewer.get(f"/media/{recording_id}/original").status_code == 415


def test_what_is_not_there(viewer: FlaskClient, recording_id: str) -> None:
    assert viewer.get(f"/media/{NOBODY_ID}/original").status_code == 404
    for rendition in ("proxy", "sprite", "sprite/7", "waveform"):
        assert viewer.get(f"/media/{recording_id}/{rendition}").status_code == 404
    poster = viewer.get(f"/media/{recording_id}/poster")
    assert (poster.status_code, poster.mimetype) == (503, "image/svg+xml")


def test_derivatives_come_with_the_same_look(
    station: Station, viewer: FlaskClient, recording_id: str
) -> None:
    station.derive(recording_id, "poster", "image/jpeg", b"poster")
    station.derive(recording_id, "sprite", "image/jpeg", b"sprite")
    station.derive(recording_id, "waveform", "application/json", b'{"peaks":[1,2]}')
    station.derive(recording_id, "proxy", "video/mp4", CONTENT[::-1])
    for rendition, content in (("poster", b"poster"), ("sprite", b"sprite"), ("proxy", CONTENT[::-1])):
        assert viewer.get(f"/media/{recording_id}/{rendition}").data == content
    waveform = viewer.get(f"/media/{recording_id}/waveform")
    assert waveform.json == {"peaks": [1, 2]}
    assert waveform.headers["Cache-Control"] == "private, max-age=300"
    part = viewer.get(f"/media/{recording_id}/proxy", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.data) == (206, CONTENT[::-1][:4])


def test_a_derivative_that_claims_to_be_a_page_is_not_sent(
    station: Station, viewer: FlaskClient, recording_id: str
) -> None:
    station.derive(recording_id, "poster", "text/html", b"<script>")
    assert viewer.get(f"/media/{recording_id}/poster").status_code == 415


def test_posters_of_a_page_are_one_entry(house: House, app: Flask, station: Station) -> None:
    recordings = [station.seal(CONTENT[i:]) for i in range(3)]
    for recording in recordings:
        station.derive(recording, "poster", "image/jpeg", recording.encode())
    client = app.test_client()
    token = house.sign_in(client, house.account("wang", Role.CUSTODIAN))
    with app.test_request_context(headers={"Cookie": f"sealdock={token}"}):
        assert playback.grant_posters(recordings) == playback.PosterAccess(ready=True)
        assert playback.grant_posters([]).ready
    for recording in recordings:
        assert client.get(f"/media/{recording}/poster").data == recording.encode()
    with house.db.reading() as work:
        assert work.scalars(select(Viewing.rendition)).all() == ["poster"]


def test_more_posters_than_an_entry_names_are_several_entries(house: House, app: Flask) -> None:
    token = house.sign_in(app.test_client(), house.account("wang", Role.CUSTODIAN))
    recordings = [new_id() for _ in range(257)]
    with app.test_request_context(headers={"Cookie": f"sealdock={token}"}):
        playback.grant_posters(recordings)
    with house.db.reading() as work:
        assert len(work.scalars(select(Viewing)).all()) == 2
        assert set(work.scalars(select(ViewedRecording.recording_id))) == set(recordings)


def test_a_locked_vault_says_so(
    house: House, app: Flask, station: Station, viewer: FlaskClient, recording_id: str
) -> None:
    station.derive(recording_id, "poster", "image/jpeg", b"poster")
    station.keyd._keyring = None
    cookie = viewer.get_cookie("sealdock")
    assert cookie is not None
    headers = {"Cookie": f"sealdock={cookie.value}", "Accept-Language": "en"}
    with app.test_request_context(headers=headers):
        access = playback.grant_posters([recording_id])
    assert not access.ready
    assert "locked" in access.sentence
    poster = viewer.get(f"/media/{recording_id}/poster")
    assert (poster.status_code, poster.mimetype) == (503, "image/svg+xml")
    film = viewer.get(f"/media/{recording_id}/original", headers={"Accept-Language": "en"})
    assert film.status_code == 503
    assert film.json is not None
    assert film.json["code"] == "vault.keyd_locked"


def test_damaged_bytes_are_never_sent(house: House, viewer: FlaskClient, recording_id: str) -> None:
    path = house.context.vault.object_path(recording_id)
    path.chmod(0o640)
    with path.open("r+b") as stored:
        stored.seek(70_000)
        stored.write(b"\x00\x01\x02")
    first = viewer.get(f"/media/{recording_id}/original", headers={"Range": "bytes=0-99"})
    assert first.data == CONTENT[:100]
    second = viewer.get(f"/media/{recording_id}/original", headers={"Range": "bytes=70000-70099"})
    assert second.status_code == 500
    assert second.json is not None
    assert second.json["code"] == "vault.payload"


def test_signing_out_forgets_the_keys(house: House, viewer: FlaskClient, recording_id: str) -> None:
    keys = viewer.application.extensions["sealdock-opener"]._keys
    viewer.get(f"/media/{recording_id}/original")
    assert len(keys._held) == 1
    token = house.token(viewer.get("/my-account").text)
    viewer.post("/sign-out", data={"csrf_token": token})
    assert len(keys._held) == 0


def test_a_key_is_asked_for_once(
    viewer: FlaskClient, recording_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = KeydClient.unwrap

    def count(self: KeydClient, index: int, **named: object) -> bytes:
        asked.append(index)
        return real(self, index, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(KeydClient, "unwrap", count)
    for _ in range(5):
        viewer.get(f"/media/{recording_id}/original", headers={"Range": "bytes=0-9"})
    assert len(asked) == 1


def test_a_page_of_pictures_waits_for_keyds_rate(
    viewer: FlaskClient, recording_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = KeydClient.unwrap, iter([True, True, False])

    def refuse_twice(self: KeydClient, index: int, **named: object) -> bytes:
        if next(refusals):
            raise RateLimitedError(name="console")
        return real(self, index, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(KeydClient, "unwrap", refuse_twice)
    assert viewer.get(f"/media/{recording_id}/original").data == CONTENT


# The cache of keys


@pytest.fixture
def key(house: House) -> SealedKey:
    return SealedKey(b"k" * 16, 0, house.context.reader.leaf(0))


def test_keys_are_kept_for_minutes_only(key: SealedKey) -> None:
    now = [0.0]
    keys = KeyCache(clock=lambda: now[0])
    name = KeyName("session", "recording", "original")
    keys.put(name, key)
    now[0] = KEEP_S - 0.1
    assert keys.get(name) is key
    now[0] = KEEP_S
    assert keys.get(name) is None


def test_the_oldest_key_leaves_first(key: SealedKey) -> None:
    keys = KeyCache()
    for i in range(MOST_KEYS + 1):
        keys.put(KeyName("session", str(i), "poster"), key)
    assert keys.get(KeyName("session", "0", "poster")) is None
    assert keys.get(KeyName("session", "1", "poster")) is key


def test_the_cache_serves_many_threads(key: SealedKey) -> None:
    keys = KeyCache()

    def work(session: str) -> None:
        for i in range(300):
            keys.put(KeyName(session, str(i), "poster"), key)
            keys.get(KeyName(session, str(i), "poster"))
        keys.forget(session)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not keys._held
