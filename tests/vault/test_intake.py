"""Names in incoming/ belong to the dock, who may be anybody: only bytes that were compared get into objects/."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.house import House

from core import durable
from vault import intake
from vault.formats.entry import ObjectCommitment
from vault.intake import Intake, MismatchError
from vault.log.outbox import RowState
from vault.log.submission import Draft, read_submission
from vault.store.medium import Reader

CONTENT = b"footage" * 1000


def aside(house: House, entry_id: str) -> list[Path]:
    return sorted((house.vault.path / "incoming").glob(f"{entry_id}.*.mismatched"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "AGAIN_S", 0.0)


@pytest.fixture
def taking(house: House) -> Iterator[Intake]:
    taking = Intake(house.vault, lambda: None)
    yield taking
    taking.close()


def commitment(house: House, entry_id: str) -> ObjectCommitment:
    sealed = read_submission(house.row(entry_id).note.encode()).leaf.object
    assert sealed
    return sealed


def taken(taking: Intake, entry_id: str, sealed: ObjectCommitment) -> None:
    while not taking.is_in(entry_id, sealed):
        pass


def stands_in(kind: str, part: Path, other: Path) -> None:
    """Put something else where the object was; its bytes would be right."""
    other.write_bytes(part.read_bytes())
    part.unlink()
    {"link": lambda: part.symlink_to(other), "dangling link": lambda: part.symlink_to("nowhere"),
     "directory": part.mkdir, "pipe": lambda: os.mkfifo(part), "socket": lambda: listen(part),
     "many names": lambda: (part.hardlink_to(other), part.with_name("x.part").hardlink_to(other)),
     }[kind]()  # fmt: skip


def listen(part: Path) -> None:
    here = Path.cwd()
    os.chdir(part.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(part.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "pipe", "socket", "many names"])
def test_what_is_no_plain_file_is_set_aside(house: House, kind: str, tmp_path: Path) -> None:
    entry_id = house.ingest(CONTENT)
    stands_in(kind, house.vault.incoming_path(entry_id), tmp_path / "elsewhere")
    house.settle()
    assert house.row(entry_id).state == RowState.MISMATCHED
    assert not os.path.lexists(house.vault.object_path(entry_id))
    assert not os.path.lexists(house.vault.incoming_path(entry_id))
    assert len(aside(house, entry_id)) == 1
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 != 0o440, "what is elsewhere was left alone"


def during_the_digest(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Do something at the worst moment: after the reader took the bytes in, before anybody trusts them."""
    once = iter([act])

    class Watched(Reader):
        def digest(self, path: Path, cancel: threading.Event | None = None) -> Any:
            found = super().digest(path, cancel)
            next(once, lambda: None)()
            return found

    monkeypatch.setattr(intake, "Reader", Watched)


@pytest.mark.usefixtures("impatient")
def test_a_name_that_is_exchanged_after_the_look_does_not_get_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_id = house.ingest(CONTENT)
    part = house.vault.incoming_path(entry_id)
    right = part.read_bytes()

    def exchange() -> None:
        part.with_name("other").write_bytes(b"something else")
        part.with_name("other").replace(part)

    during_the_digest(monkeypatch, exchange)
    house.settle()
    final = house.vault.object_path(entry_id)
    assert house.row(entry_id).state == RowState.MISMATCHED or final.read_bytes() == right
    assert not final.exists() or final.read_bytes() == right


def test_what_was_compared_is_what_gets_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dock holds a second name, so that the opened file survives the exchange."""
    entry_id = house.ingest(CONTENT)
    part = house.vault.incoming_path(entry_id)
    right = part.read_bytes()

    def exchange() -> None:
        part.rename(part.with_name("kept"))
        part.write_bytes(b"something else")

    during_the_digest(monkeypatch, exchange)
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED
    assert house.vault.object_path(entry_id).read_bytes() == right
    assert part.read_bytes() == b"something else", "a file that is not ours is not removed"
    assert house.verify().ok


@pytest.mark.usefixtures("impatient")
def test_who_opens_for_writing_during_the_read_back_is_noticed(
    house: House, monkeypatch: pytest.MonkeyPatch, taking: Intake
) -> None:
    entry_id = house.ingest(CONTENT)
    part = house.vault.incoming_path(entry_id)

    def open_for_writing() -> None:
        with pytest.raises(BlockingIOError):  # it has to wait for the lease, and the kernel has told us
            os.open(part, os.O_WRONLY | os.O_NONBLOCK)

    during_the_digest(monkeypatch, open_for_writing)
    sealed = commitment(house, entry_id)
    said: list[str] = []
    monkeypatch.setattr(intake._LOG, "warning", lambda _, **facts: said.append(facts["code"]))
    taken(taking, entry_id, sealed)
    assert said == ["vault.still_written"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["link", "mkdir", "fsync", "unlink", "fchmod"])
def test_a_disk_that_refuses_a_name_says_nothing_of_the_object(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    entry_id = house.ingest(CONTENT)
    daemon = house.vaultd()
    daemon.start()
    failing, refuse = getattr(os, call), iter([True])

    def sometimes(*args: object, **options: object) -> object:
        if threading.current_thread().name.startswith("read-back") and next(refuse, False):
            raise OSError(code, os.strerror(code))
        return failing(*args, **options)

    monkeypatch.setattr(os, call, sometimes)
    while house.row(entry_id).state == RowState.PENDING:
        daemon.step()
    daemon.close()
    assert next(refuse, None) is None, "the call was made"
    assert house.row(entry_id).state == RowState.SEQUENCED
    assert aside(house, entry_id) == []
    assert house.verify().ok


@pytest.mark.parametrize("where", ["open", "read"])
def test_bytes_that_the_medium_lost_are_set_aside(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    entry_id = house.ingest(CONTENT)
    name = {"open": "open", "read": "preadv"}[where]
    real = getattr(os, name)

    def failing(*args: object, **options: object) -> object:
        if threading.current_thread().name.startswith("read-back") and not options.pop("spare", False):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*args, **options)

    if where == "open":
        monkeypatch.setattr(intake, "_open", failing)
    else:
        monkeypatch.setattr(os, name, failing)
    house.settle()
    assert house.row(entry_id).state == RowState.MISMATCHED
    assert "Input/output error" in house.row(entry_id).reason
    assert len(aside(house, entry_id)) == 1
    assert not house.vault.incoming_path(entry_id).exists(), "the next copy finds its name free"


def test_every_copy_that_came_back_changed_is_kept(house: House) -> None:
    entry_id = house.ingest(CONTENT)
    for attempt in (b"first noise", b"second noise"):
        house.vault.incoming_path(entry_id).write_bytes(attempt)
        house.settle()
        assert house.row(entry_id).state == RowState.MISMATCHED
        deposit = house.deposit(CONTENT, entry_id=entry_id)
        house.submit("dockd", Draft("ingest", deposit=deposit))
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED
    assert {path.read_bytes() for path in aside(house, entry_id)} == {b"first noise", b"second noise"}


def test_a_name_that_another_file_has_does_not_stop_vaultd(house: House) -> None:
    entry_id = house.ingest(CONTENT)
    final = house.vault.object_path(entry_id)
    final.parent.mkdir()
    final.write_bytes(b"somebody was here")
    house.settle()
    assert house.row(entry_id).state == RowState.MISMATCHED
    assert len(aside(house, entry_id)) == 2
    deposit = house.deposit(CONTENT, entry_id=entry_id)
    house.submit("dockd", Draft("ingest", deposit=deposit))
    house.settle()
    assert house.row(entry_id).state == RowState.SEQUENCED


@pytest.mark.parametrize("moved", ["link", "whole"])
def test_a_restart_believes_no_name_that_it_did_not_make_durable(
    house: House, monkeypatch: pytest.MonkeyPatch, taking: Intake, moved: str
) -> None:
    entry_id = house.ingest(CONTENT)
    part, final = house.vault.incoming_path(entry_id), house.vault.object_path(entry_id)
    sealed = commitment(house, entry_id)
    final.parent.mkdir()
    final.hardlink_to(part)
    if moved == "whole":
        part.unlink()
    synced: set[Path] = set()
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.add(Path(f"/proc/self/fd/{fd}").readlink()), real(fd))[1]
    )
    monkeypatch.setattr(durable, "_SETTLED", set())
    taken(taking, entry_id, sealed)
    assert {final.parent, final.parent.parent, part.parent} <= synced


def test_what_is_not_there_never_will_be(house: House, taking: Intake) -> None:
    entry_id = house.ingest(CONTENT)
    sealed = commitment(house, entry_id)
    shutil.move(house.vault.incoming_path(entry_id), house.vault.path / "elsewhere")
    with pytest.raises(MismatchError, match="not there"):
        taken(taking, entry_id, sealed)
