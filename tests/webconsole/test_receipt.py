from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from casework.access.permission import Role
from casework.paper.kept import keep
from casework.paper.scan import joined
from casework.paper.window import Outsiders
from casework.people.officer import OfficerFacts, register_officer
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt
from vault.log.index import place_of, wait_sequenced
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from webconsole.display.paper import House as PaperHouse
from webconsole.display.paper import file_frame, receipt_sheet

if TYPE_CHECKING:
    from conftest import House, Station

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SIZES = {"a4": 703, "slip": 272}  # CSS pixels between the margins


@pytest.fixture
def custodian(house: House, client: FlaskClient) -> FlaskClient:
    house.sign_in(client, house.account("lijing", Role.CUSTODIAN))
    client.set_cookie("sealdock-locale", "en")
    return client


def session_of(house: House, *recordings: str) -> None:
    """The entry with which the dock ends a session."""
    signer = SigningKey.read(house.settings.keys / "dockd.key")
    submitter = Submitter(signer, house.projections, house.settings.run / "vaultd.bell")
    facts = {"session": recordings[0], "files": len(recordings), "bytes": 9, "outcome": "complete"}
    with house.db.writing() as work:
        entry = submitter.submit(work, Draft("session", facts=facts, about=recordings))
    submitter.ring()
    wait_sequenced(house.db, entry, 20.0)


def test_the_file_proves_itself(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    answer = custodian.get(f"/recordings/{recording}/receipt")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{recording}.tlog-proof"'
    assert Receipt.parse(answer.data).verify(station.house.context.vault.verifier).id == recording


def test_the_sheet_says_what_a_person_needs(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    text = custodian.get(f"/recordings/{recording}/receipt/print").text
    vault = station.house.context.vault
    assert vault.origin in text
    assert vault.verifier.fingerprint in text
    assert recording in text
    assert "There is no outside evidence yet." in text
    assert text.count('class="qr"') == 2
    assert "<style" not in text
    assert "style=" not in text
    assert "clip.mp4" not in text  # a receipt names nobody and no file


def test_the_session_sheet_has_every_digest(station: Station, custodian: FlaskClient) -> None:
    one, other = station.seal(b"first"), station.seal(b"second")
    session_of(station.house, one, other)
    assert "Receipt of the whole docking session" in custodian.get(f"/recordings/{one}").text
    text = custodian.get(f"/recordings/{one}/receipt/session").text
    assert "Receipt of a docking session" in text
    assert one in text
    assert other in text


def test_before_it_is_on_the_log_there_is_none(station: Station, custodian: FlaskClient) -> None:
    recording = station.seal(b"footage")
    assert custodian.get(f"/recordings/{recording}/receipt/session").status_code == 404
    assert custodian.get(f"/recordings/{recording}/receipt/stamps/x.tsr").status_code == 404


def test_an_officer_has_the_receipt_of_what_the_officer_recorded(
    house: House, station: Station, client: FlaskClient
) -> None:
    with house.db.writing() as work:
        officer = register_officer(work, house.context.submitter, None, OfficerFacts("104432", "张伟"))
    own, other = station.seal(b"own", officer_number="104432"), station.seal(b"another's")
    house.sign_in(client, house.account("zhangwei", Role.OFFICER, officer_id=officer))
    assert client.get(f"/recordings/{own}/receipt/print").status_code == 200
    assert client.get(f"/recordings/{other}/receipt/print").status_code == 403


@pytest.mark.browser
@pytest.mark.stock
def test_codes_on_paper_are_read_by_a_scanner_that_is_not_ours(
    station: Station, tmp_path: Path, browser: Browser
) -> None:
    """Printed in Chinese on A4 and on a roll, read code by code with zbar, and put together again."""
    zbar = shutil.which("zbarimg")
    assert zbar, "zbarimg is not installed; script/bootstrap installs it (zbar-tools)"
    recording = station.seal(b"footage")
    context = station.house.context
    with station.house.db.reading() as session:
        index = place_of(session, recording)
    assert index is not None
    kept = keep(context.reader, Outsiders(), index)
    sheet = receipt_sheet(kept, PaperHouse("执法大队", "一号站", "Asia/Shanghai"), file_frame(), "zh_CN")
    (tmp_path / "sheet.html").write_text(sheet, encoding="utf-8")
    for name, width in SIZES.items():
        page = browser.new_page(viewport={"width": width, "height": 1032}, device_scale_factor=2)
        page.emulate_media(media="print")
        page.goto(f"file://{tmp_path}/sheet.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        scanned = []
        for number, code in enumerate(page.query_selector_all("figure"), 1):
            picture = tmp_path / f"{name}-{number}.png"
            code.screenshot(path=picture)
            read = subprocess.run([zbar, "-q", "--raw", picture], capture_output=True, check=False)
            scanned.append(read.stdout)
        assert joined(scanned) == kept.on_paper.raw(), name


def test_a_sheet_in_a_file_needs_nothing_beside_it(station: Station) -> None:
    recording = station.seal(b"footage")
    with station.house.db.reading() as session:
        index = place_of(session, recording)
    assert index is not None
    kept = keep(station.house.context.reader, Outsiders(), index)
    sheet = receipt_sheet(kept, PaperHouse("", "Station 1", "Asia/Shanghai"), file_frame(), "en")
    assert re.findall(r'(?:src|href)="([^"]+)"', sheet) == []
    assert "<script" not in sheet
