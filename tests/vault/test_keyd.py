from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from crash.house import BUCKET, PASSPHRASE, House
from support.root import opener

from core.canonical import encode
from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from vault import keyd as keyd_module
from vault.formats.age import NONCE_SIZE, Recipient, header_for, new_file_key, new_nonce
from vault.formats.entry import Leaf
from vault.formats.note import NoteSignatureError, SigningKey, sign_note
from vault.formats.pack import KeySlots, Private
from vault.keyd import (
    GRANT_AGE,
    JOBS,
    RATES,
    Keyd,
    KeydClient,
    KeydLockedError,
    KeydRefusedError,
    KeydUnreachableError,
    KeydUnreadableError,
    RateLimitedError,
)
from vault.log.submission import Draft
from vault.log.writer import LogWriter
from vault.store.keys import WrongPassphraseError, bucket_recipient
from vault.store.objects import DisposedError, open_object
from vault.store.root import RootMissingError

CONTENT = b"footage" * 1000


@dataclass
class Guarded:
    """A house with one sealed recording, a keyd beside it, and clients of the processes."""

    house: House
    keyd: Keyd
    recording: str
    index: int

    def client(self, name: str) -> KeydClient:
        return KeydClient(self.house.directory / "keyd.sock", self.house.key(name))

    def grant(self, kind: str = "view", *, by: str = "console", **options: Any) -> int:
        entry_id = self.house.submit(by, Draft(kind, **{"about": (self.recording,), **options}))
        self.house.settle()
        place = self.house.row(entry_id).entry_index
        assert place is not None
        return place


@pytest.fixture
def locked(house: House) -> Iterator[Guarded]:
    recording = house.ingest(CONTENT)
    house.settle()
    keyd, stop = (
        Keyd(house.vault, opener(house.vault, house.keys), house.directory / "keyd.sock"),
        threading.Event(),
    )
    thread = threading.Thread(target=keyd.run, args=(stop,))
    thread.start()
    while not (house.directory / "keyd.sock").exists():
        stop.wait(0.001)
    index = house.row(recording).entry_index
    assert index is not None
    yield Guarded(house, keyd, recording, index)
    stop.set()
    thread.join()


@pytest.fixture
def guarded(locked: Guarded) -> Guarded:
    locked.keyd._keyring = locked.house.keyring  # the recovery identity instead of a second of scrypt
    return locked


def test_content_is_opened_with_the_key_that_keyd_gives(guarded: Guarded) -> None:
    file_key = guarded.client("console").unwrap(guarded.index, grant=guarded.grant())
    leaf = guarded.house.reader.leaf(guarded.index)
    with open_object(guarded.house.vault, guarded.index, leaf, file_key) as reader:
        assert reader.read() == CONTENT


def test_keyd_starts_locked_and_opens_with_the_passphrase(locked: Guarded) -> None:
    console, grant = locked.client("console"), locked.grant()
    assert not console.status().is_unlocked
    with pytest.raises(KeydLockedError, match="recordings are sealed and kept"):
        console.unwrap(locked.index, grant=grant)
    with pytest.raises(WrongPassphraseError):
        console.unlock(b"a wrong passphrase")
    assert not console.status().is_unlocked
    console.unlock(PASSPHRASE)
    assert console.status().is_unlocked
    assert len(console.unwrap(locked.index, grant=grant)) == 16


def test_an_export_grants_too(guarded: Guarded) -> None:
    assert guarded.client("console").unwrap(guarded.index, grant=guarded.grant("export"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kind": "link"}, "grants nothing"),
        ({"kind": "view", "about": ()}, "about something else"),
        ({"kind": "view", "about": ("01K8Z3V9Q2M4T6X8A0B2C4D6EF",)}, "about something else"),
        ({"kind": "view", "time": utc_now() - GRANT_AGE - timedelta(seconds=5)}, "too old; view again"),
    ],
)
def test_what_grants_nothing_opens_nothing(guarded: Guarded, options: dict[str, Any], why: str) -> None:
    grant = guarded.grant(**options)
    with pytest.raises(KeydRefusedError, match=why):
        guarded.client("console").unwrap(guarded.index, grant=grant)


@pytest.mark.parametrize("ahead", [timedelta(minutes=2), timedelta(days=3650)])
def test_a_grant_from_the_future_would_never_expire_and_grants_nothing(
    guarded: Guarded, ahead: timedelta
) -> None:
    grant = entered(guarded, "view", by="console", time=utc_now() + ahead, about=(guarded.recording,))
    with pytest.raises(KeydRefusedError, match="dated in the future"):
        guarded.client("console").unwrap(guarded.index, grant=grant)


def test_a_clock_that_is_seconds_behind_is_no_reason_to_refuse(guarded: Guarded) -> None:
    at = utc_now() + timedelta(seconds=20)
    grant = entered(guarded, "view", by="console", time=at, about=(guarded.recording,))
    assert guarded.client("console").unwrap(guarded.index, grant=grant)


def entered(guarded: Guarded, kind: str, *, by: str, time: datetime, **options: Any) -> int:
    """An entry as a vaultd that checks nothing would write it; gives its index."""
    place = guarded.house.reader.size
    writer = LogWriter(guarded.house.vault, guarded.house.key("log"))
    writer.append([(Leaf(id=new_id(), type=kind, time=stamp(time), by=by, **options), Private())])
    writer.close()
    return place


def test_no_grant_or_one_that_is_not_on_the_log_opens_nothing(guarded: Guarded) -> None:
    console = guarded.client("console")
    with pytest.raises(KeydRefusedError, match="index of its grant"):
        console.unwrap(guarded.index)
    with pytest.raises(Exception, match="no entry 9999"):
        console.unwrap(guarded.index, grant=9999)
    with pytest.raises(KeydRefusedError, match="index of its grant"):
        console.unwrap(guarded.index, job="index")  # the console has no jobs
    with pytest.raises(KeydRefusedError, match="seals no object"):
        console.unwrap(0, grant=guarded.grant())


@pytest.mark.parametrize("job", JOBS)
def test_the_worker_names_its_job(guarded: Guarded, job: str) -> None:
    assert len(guarded.client("worker").unwrap(guarded.index, job=job)) == 16


@pytest.mark.parametrize("job", [None, "curiosity", "export"])
def test_other_jobs_need_no_content(guarded: Guarded, job: str | None) -> None:
    with pytest.raises(KeydRefusedError, match="no such job"):
        guarded.client("worker").unwrap(guarded.index, job=job)


@pytest.mark.parametrize("name", ["worker", "dockd", "sealer"])
def test_only_who_speaks_for_a_person_tries_a_passphrase(locked: Guarded, name: str) -> None:
    """A few wrong PINs lock a token; a worker in the wrong hands would lock everybody out."""
    with pytest.raises(KeydRefusedError, match=f"{name} may not ask for unlock"):
        locked.client(name).unlock(PASSPHRASE)


@pytest.mark.parametrize("name", ["dockd", "vaultd"])
def test_other_processes_get_no_keys(guarded: Guarded, name: str) -> None:
    with pytest.raises(KeydRefusedError, match=f"{name} may not ask"):
        guarded.client(name).unwrap(guarded.index, grant=guarded.grant())


def test_a_strangers_signature_gets_nothing(guarded: Guarded) -> None:
    path, grant = guarded.house.directory / "keyd.sock", guarded.grant()
    with pytest.raises(NoteSignatureError):
        KeydClient(path, SigningKey.generate("console")).unwrap(guarded.index, grant=grant)
    with pytest.raises(KeydRefusedError, match="no key is registered"):
        KeydClient(path, SigningKey.generate("nobody")).status()


def request(guarded: Guarded, *, by: str = "console", **changes: Any) -> bytes:
    facts = {"op": "status", "by": by, "id": new_id(), "time": stamp(utc_now()), **changes}
    note = sign_note(encode(facts).decode() + "\n", guarded.house.key(by)).decode()
    return json.dumps({"request": note}).encode() + b"\n"


@pytest.mark.parametrize("age_s", [600, -600])
def test_an_old_request_or_one_from_the_future_is_not_answered(guarded: Guarded, age_s: int) -> None:
    line = request(guarded, time=stamp(utc_now() - timedelta(seconds=age_s)))
    assert "clock" in guarded.keyd.answer(line)["sentence"]


def test_a_request_is_answered_once(guarded: Guarded) -> None:
    line = request(guarded)
    assert guarded.keyd.answer(line)["ok"]
    assert "answered before" in guarded.keyd.answer(line)["sentence"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b'{"request": 3}\n',
        b'{"request": "x"}\n',
        b"[" * 60_000 + b"\n",
        b"9" * 70_000 + b"\n",
    ],
)
def test_noise_is_answered_with_an_error_and_the_next_caller_is_served(guarded: Guarded, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(guarded.house.directory / "keyd.sock"))
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            first = answers.readline()
    assert not line or json.loads(first)["code"] in {"vault.keyd_refused", "vault.note"}
    assert guarded.client("console").status().is_unlocked


@pytest.mark.parametrize("changes", [{"op": "dump"}, {"op": "unwrap", "object": "5"}, {"op": "unwrap", "object": -1},
                                     {"op": "unwrap", "object": True}, {"op": "unlock"}, {"op": ["x"]},
                                     {"id": "x" * 60_000}, {"id": "y"},
                                     {"op": "unwrap_derived", "object": 5, "key_slot": "!"}])  # fmt: skip
def test_a_signed_but_senseless_request_is_refused(guarded: Guarded, changes: dict[str, Any]) -> None:
    assert guarded.keyd.answer(request(guarded, **changes))["code"] == "vault.keyd_refused"


def test_a_console_cannot_empty_the_vault_at_once(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.keyd._buckets["console"] = keyd_module._Bucket(0.0, 3.0)
    console, grant = guarded.client("console"), guarded.grant()
    for _ in range(3):
        console.unwrap(guarded.index, grant=grant)
    with pytest.raises(RateLimitedError, match="console asked for too many"):
        console.unwrap(guarded.index, grant=grant)
    assert guarded.client("worker").unwrap(guarded.index, job="index")


def test_a_worker_cannot_empty_the_vault_at_once(guarded: Guarded) -> None:
    rate, burst = RATES["worker"]
    assert rate <= 5
    assert burst <= 100
    worker = guarded.client("worker")
    with ThreadPoolExecutor(4) as callers:  # far more than it may in the time that this takes
        keys = callers.map(lambda _: worker.unwrap(guarded.index, job="index"), range(int(burst + 20 * rate)))
        with pytest.raises(RateLimitedError, match="worker asked for too many"):
            list(keys)


def test_nobody_asks_without_end_whatever_he_asks(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyd_module, "ASK_RATE", (0.0, 3.0))
    dock = guarded.client("dockd")
    for _ in range(3):
        dock.status()
    with pytest.raises(RateLimitedError, match="dockd asked for too many"):
        dock.status()
    assert guarded.client("console").status().is_unlocked


def test_a_disk_that_cannot_be_read_is_said_to_the_caller(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object, index: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error", f"slots/{index // 256}")

    grant = guarded.grant()
    monkeypatch.setattr(KeySlots, "object_slot", failing)
    with pytest.raises(KeydUnreadableError, match=r"slots/0 \(Input/output error\)"):
        guarded.client("console").unwrap(guarded.index, grant=grant)


def test_a_root_that_cannot_be_read_is_said_to_the_caller(locked: Guarded) -> None:
    (locked.house.keys / "root.age").unlink()
    with pytest.raises(RootMissingError, match=r"no root key at .*root\.age"):
        locked.client("console").unlock(PASSPHRASE)


def test_an_exchanged_slot_gives_no_key(guarded: Guarded) -> None:
    file_key, nonce = new_file_key(), new_nonce()
    slot = header_for([Recipient.parse(bucket_recipient(guarded.house.vault, BUCKET))], file_key) + nonce
    write_slot(guarded, slot)
    with pytest.raises(KeydRefusedError, match="not the one that the entry commits to"):
        guarded.client("console").unwrap(guarded.index, grant=guarded.grant())


def test_a_disposed_object_has_no_key(guarded: Guarded) -> None:
    write_slot(guarded, bytes(256))
    with pytest.raises(DisposedError):
        guarded.client("console").unwrap(guarded.index, grant=guarded.grant())


def write_slot(guarded: Guarded, slot: bytes) -> None:
    with guarded.house.vault.slots.path(0).open("r+b") as file:
        file.seek(guarded.index * 512 + 256)
        file.write(slot)


# --- derivatives


def derivative(guarded: Guarded, *, by: str = "worker", **changes: Any) -> tuple[bytes, bytes, bytes]:
    file_key = new_file_key()
    recipient = Recipient.parse(bucket_recipient(guarded.house.vault, BUCKET))
    slot = header_for([recipient], file_key) + bytes(NONCE_SIZE)
    facts = {
        "header_sha256": sha256_hex(slot), "parent": guarded.recording, "rendition": "poster",
        "sha256": "0" * 64, "size": 1, "type": "image/jpeg", **changes,
    }  # fmt: skip
    return sign_note(encode(facts).decode() + "\n", guarded.house.key(by)), slot, file_key


def test_a_derivative_opens_like_its_parent(guarded: Guarded) -> None:
    note, slot, file_key = derivative(guarded)
    assert (
        guarded.client("console").unwrap_derived(note, slot, guarded.index, grant=guarded.grant()) == file_key
    )
    assert guarded.client("worker").unwrap_derived(note, slot, guarded.index, job="proxy") == file_key


@pytest.mark.parametrize("changes", [{"parent": "01K8Z3V9Q2M4T6X8A0B2C4D6EF"}, {"header_sha256": "0" * 64}])
def test_a_derivative_of_something_else_does_not_open(guarded: Guarded, changes: dict[str, Any]) -> None:
    note, slot, _ = derivative(guarded, **changes)
    with pytest.raises(KeydRefusedError, match="about something else"):
        guarded.client("console").unwrap_derived(note, slot, guarded.index, grant=guarded.grant())


def test_a_derivative_that_the_worker_did_not_sign_does_not_open(guarded: Guarded) -> None:
    note, slot, _ = derivative(guarded, by="console")
    with pytest.raises(NoteSignatureError):
        guarded.client("console").unwrap_derived(note, slot, guarded.index, grant=guarded.grant())


def test_a_derivative_goes_with_its_parent(guarded: Guarded) -> None:
    note, slot, _ = derivative(guarded)
    write_slot(guarded, bytes(256))
    with pytest.raises(DisposedError):
        guarded.client("console").unwrap_derived(note, slot, guarded.index, grant=guarded.grant())


# --- the process


def test_nobody_there_is_said(house: House) -> None:
    with pytest.raises(KeydUnreachableError, match="Sealing goes on"):
        KeydClient(house.directory / "keyd.sock", house.key("console")).status()


def test_many_callers_at_once_are_all_answered(guarded: Guarded) -> None:
    worker, keys = guarded.client("worker"), set[bytes]()
    threads = [
        threading.Thread(target=lambda: keys.add(worker.unwrap(guarded.index, job="index")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 1


def test_keyd_writes_nothing(guarded: Guarded) -> None:
    def listing() -> dict[str, int]:
        return {
            str(p): p.stat().st_mtime_ns
            for p in guarded.house.directory.rglob("*")
            if "house.db" not in p.name
        }

    grant, before = guarded.grant(), listing()
    guarded.client("console").unwrap(guarded.index, grant=grant)
    assert listing() == before


def test_a_key_registered_later_is_learned_without_a_restart(guarded: Guarded) -> None:
    """A process key that was replaced speaks from the moment its `key` entry is on the log, and the old one stops."""
    fresh, path = SigningKey.generate("worker"), guarded.house.directory / "keyd.sock"
    writer = LogWriter(guarded.house.vault, guarded.house.key("log"))
    facts = {"name": "worker", "vkey": fresh.vkey, "permits": ["derive"]}
    leaf = Leaf(id=new_id(), type="key", time=stamp(utc_now()), by="vaultd", facts=facts)
    writer.append([(leaf, Private())])
    writer.close()
    assert KeydClient(path, fresh).unwrap(guarded.index, job="index")
    with pytest.raises(NoteSignatureError):
        guarded.client("worker").unwrap(guarded.index, job="index")
