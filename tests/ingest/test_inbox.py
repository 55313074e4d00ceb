from __future__ import annotations

import os
from pathlib import Path
from threading import Event, Thread

import pytest
from emulation.dock import Station, wait_until
from sqlalchemy import select

from core.digest import sha256_hex
from ingest import copying
from ingest import inbox as inbox_module
from ingest.docking import DockingSession
from ingest.inbox import SEALED, Inbox
from ingest.recording import IngestRecording
from vault.log.ledger import LogReader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def settle(inbox: Inbox) -> int:
    """Two looks with nothing in between: what lies still counts as settled."""
    return inbox.seal_ready(Event()) + inbox.seal_ready(Event())


def sealed(station: Station) -> list[str]:
    reader = LogReader(station.vault)
    leaves = reader.leaves(0, reader.checkpoint()[0].size)
    return [
        leaf.object.sha256 for leaf in leaves if leaf.object is not None and leaf.facts["origin"] == "inbox"
    ]


def test_a_finished_file_is_sealed_and_moved_and_never_deleted(station: Station, folder: Path) -> None:
    content = os.urandom(5000)
    (folder / "phone").mkdir()
    (folder / "phone/clip.mp4").write_bytes(content)
    inbox = Inbox(folder, station.line, settle_s=0)
    assert settle(inbox) == 1
    assert (folder / SEALED / "phone/clip.mp4").read_bytes() == content
    assert not (folder / "phone/clip.mp4").exists()
    assert sealed(station) == [sha256_hex(content)]
    assert settle(inbox) == 0


def test_a_file_somebody_still_writes_is_left_until_it_is_closed(station: Station, folder: Path) -> None:
    inbox = Inbox(folder, station.line, settle_s=0)
    with (folder / "clip.mp4").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        assert settle(inbox) == 0
    assert settle(inbox) == 1
    assert sealed(station) == [sha256_hex(b"half")]


def test_a_file_that_keeps_growing_is_left(station: Station, folder: Path) -> None:
    inbox = Inbox(folder, station.line, settle_s=0)
    for turn in range(3):
        (folder / "clip.mp4").write_bytes(b"x" * (turn + 1))
        assert inbox.seal_ready(Event()) == 0
    assert inbox.seal_ready(Event()) == 1


def test_a_second_file_of_the_same_name_keeps_both(station: Station, folder: Path) -> None:
    inbox = Inbox(folder, station.line, settle_s=0)
    for content in (b"first", b"second"):
        (folder / "clip.mp4").write_bytes(content)
        assert settle(inbox) == 1
    kept = sorted(path.read_bytes() for path in (folder / SEALED).iterdir())
    assert kept == [b"first", b"second"]


def test_links_and_the_sealed_folder_are_not_taken(station: Station, folder: Path) -> None:
    (folder / "link.mp4").symlink_to("/etc/passwd")
    (folder / SEALED).mkdir()
    (folder / SEALED / "old.mp4").write_bytes(b"old")
    assert settle(Inbox(folder, station.line, settle_s=0)) == 0
    assert (folder / "link.mp4").is_symlink()


def test_the_watch_notices_a_file_by_itself(station: Station, folder: Path) -> None:
    inbox, stop = Inbox(folder, station.line, settle_s=0.1), Event()
    watch = Thread(target=inbox.run, args=(stop,))
    watch.start()
    (folder / "clip.mp4").write_bytes(b"film")
    wait_until((folder / SEALED / "clip.mp4").exists)
    stop.set()
    watch.join(10)
    assert inbox.join(0)
    with station.db.reading() as session:
        assert [row.state for row in session.scalars(select(IngestRecording))] == ["receipted"]


def sessions(station: Station) -> int:
    with station.db.reading() as session:
        return len(session.scalars(select(DockingSession)).all())


def test_a_file_that_fails_is_tried_ever_more_rarely_and_at_once_when_it_changes(
    station: Station, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(inbox_module, "monotonic", lambda: now[0])
    monkeypatch.setattr(copying.SealingLine, "free_bytes", lambda _line: 10)
    inbox = Inbox(folder, station.line, settle_s=0)
    (folder / "big.mp4").write_bytes(bytes(100))
    for after, tried in ((0, 1), (59, 1), (1, 2), (60, 2), (60, 3)):
        now[0] += after
        assert settle(inbox) == 0
        assert sessions(station) == tried, after
    (folder / "big.mp4").write_bytes(bytes(99))
    settle(inbox)
    assert sessions(station) == 4
    (folder / "small.mp4").write_bytes(b"x")
    assert settle(inbox) == 1, "the others go on"


def test_a_name_as_long_as_names_may_be_is_kept_beside_its_namesake(station: Station, folder: Path) -> None:
    inbox, name = Inbox(folder, station.line, settle_s=0), "证" * 83 + ".mp4"
    for content in (b"first", b"second"):
        (folder / name).write_bytes(content)
        assert settle(inbox) == 1
    assert sorted(path.read_bytes() for path in (folder / SEALED).iterdir()) == [b"first", b"second"]


def test_what_is_not_taken_is_said_once(
    station: Station, folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "link.mp4").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.mp4")
    inbox = Inbox(folder, station.line, settle_s=0)
    settle(inbox)
    settle(inbox)
    out = capsys.readouterr()
    said = out.out + out.err + caplog.text
    assert (said.count("link.mp4"), said.count("pipe.mp4")) == (1, 1)
    assert sessions(station) == 0
