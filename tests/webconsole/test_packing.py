from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from casework.access.permission import Role
from casework.evidence.viewing import PurposeCode, Rendition, record_view
from ingest.media_facts import MediaFacts
from vault.log.index import wait_sequenced
from webconsole.packing import CopyDoor, CopyNotReadyError

if TYPE_CHECKING:
    from conftest import House, Station

PLAYABLE = b"a copy that browsers play" * 3000


def shown(house: House, recording_id: str, play: str) -> None:
    with house.db.writing() as session:
        session.execute(update(MediaFacts).where(MediaFacts.recording_id == recording_id).values(play=play))


def grant(house: House, recording_id: str) -> int:
    """What keyd wants to see on the log."""
    actor = house.account("lijing", Role.CUSTODIAN)
    with house.db.writing() as session:
        entry = record_view(
            session, house.context.submitter, actor.id, [recording_id], Rendition.PROXY, PurposeCode.CASE
        )
    house.context.submitter.ring()
    return wait_sequenced(house.db, entry, 20.0)


@pytest.mark.parametrize("play", ["pending", "proxy"])
def test_a_copy_that_is_not_made_yet_holds_the_package_back(
    station: Station, house: House, play: str
) -> None:
    recording = station.seal(b"an HEVC original")
    shown(house, recording, play)
    with pytest.raises(CopyNotReadyError, match=r"copy of clip\.mp4 .* choose to go without") as met:
        CopyDoor(house.context)(recording, 0)
    assert met.value.code == "casework.copy_not_ready"
    assert CopyDoor(house.context, may_lack=True)(recording, 0) is None


@pytest.mark.parametrize("play", ["direct", "none"])
def test_what_needs_no_copy_or_can_have_none_goes_without(station: Station, house: House, play: str) -> None:
    recording = station.seal(b"an original")
    shown(house, recording, play)
    assert CopyDoor(house.context)(recording, 0) is None


@pytest.mark.parametrize("may_lack", [False, True])
def test_a_copy_that_is_there_is_opened(station: Station, house: House, *, may_lack: bool) -> None:
    recording = station.seal(b"an HEVC original")
    shown(house, recording, "proxy")
    station.derive(recording, "proxy", "video/mp4", PLAYABLE)
    opened = CopyDoor(house.context, may_lack)(recording, grant(house, recording))
    assert opened is not None
    reader, size, _ = opened
    assert size == len(PLAYABLE)
    assert reader.read(size) == PLAYABLE
    reader.close()
