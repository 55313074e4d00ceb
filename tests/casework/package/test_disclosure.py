from __future__ import annotations

import pytest
from bureau.desk import Disclosed, Station

from casework.evidence.exhibit import NotLinkedError, link
from casework.field import CharacterError, EmptyFieldError
from casework.package.build import DisclosurePendingError
from casework.package.disclosure import (
    NothingChosenError,
    NotSealedError,
    disclosed_recordings,
    get_disclosure,
    list_disclosures,
    request_disclosure,
)
from casework.subject import UnknownSubjectError
from core.clock import new_id


def request(
    disclosed: Disclosed, recordings: list[str], recipient: str = "法院", purpose: str = "举证"
) -> str:
    station = disclosed.station
    with station.db.writing() as session:
        return request_disclosure(
            session,
            station.submitter,
            station.actor,
            disclosed.case_id,
            recordings,
            recipient=recipient,
            purpose=purpose,
        ).package_id


def test_a_disclosure_is_an_entry_that_names_everything(disclosed: Disclosed) -> None:
    station, statement = disclosed.station, disclosed.package.statement
    leaf = station.log.proven_leaf(statement.export.index)
    assert (leaf.type, leaf.actor) == ("export", station.actor)
    assert set(leaf.about) == {disclosed.case_id, *disclosed.recordings}
    assert leaf.facts == {"package": statement.package, "case": disclosed.case_id, "recordings": 3}
    with station.db.reading() as session:
        found = get_disclosure(session, statement.package)
        assert (found.recipient, found.purpose, found.entry_index) == (
            "某县人民法院",
            "行政诉讼举证",
            statement.export.index,
        )
        assert {each.id for each in disclosed_recordings(session, found.package_id)} == set(
            disclosed.recordings
        )
        assert found.package_id in {each.package_id for each in list_disclosures(session, disclosed.case_id)}


def test_nothing_is_opened_before_the_entry_is_on_the_log(
    disclosed: Disclosed, monkeypatch: pytest.MonkeyPatch
) -> None:
    package_id = request(disclosed, disclosed.recordings[:1])
    asked: list[object] = []
    packager = disclosed.station.packager()
    monkeypatch.setattr(type(packager.open_original), "__call__", lambda *arguments: asked.append(arguments))
    with pytest.raises(DisclosurePendingError):
        packager.package(package_id)
    assert asked == []
    disclosed.station.settle()
    assert packager.package(package_id).statement.package == package_id


def test_what_cannot_be_disclosed(disclosed: Disclosed, station: Station) -> None:
    first = disclosed.recordings[:1]
    with pytest.raises(NothingChosenError):
        request(disclosed, [])
    with pytest.raises(NothingChosenError):
        request(disclosed, [new_id() for _ in range(1001)])
    with pytest.raises(UnknownSubjectError):
        request(disclosed, [new_id()])
    with pytest.raises(EmptyFieldError):
        request(disclosed, first, recipient=" ")
    with pytest.raises(CharacterError):
        request(disclosed, first, purpose="\u202e")
    loose = station.ingest("loose.mp4", b"loose")
    with pytest.raises(NotLinkedError):
        request(disclosed, [loose])
    with station.db.writing() as session:
        link(session, station.submitter, None, loose, disclosed.case_id)
    with pytest.raises(NotSealedError):
        request(disclosed, [loose])
    station.settle()
