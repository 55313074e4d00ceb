"""keyd: the only process that holds the root identity; it gives out one file key at a time, for a reason on the log.

A request is a signed note by a process key that the log registers. Numbered checks, the code is labelled with them:
  1. The signature holds, the request is not older than a minute and was not answered before.
  2. The key is within its rate, so that a console or a worker in the wrong hands cannot empty the vault unseen.
  3. The console names a `view` or `export` entry of its own that is on the log, neither older than half a day nor from
     the future, and about this very object. The worker names one of the kinds of job that need content; no entry
     precedes that, so its rate is low and each key it gets is noted in the journal.
  4. The object's wrapped key is the one that its entry, or the newest re-wrap that opens, commits to. For a derivative,
     the worker's signed note commits to key and parent.
  5. Nothing is opened of a recording that a `dispose` entry names, from that entry on.
A re-wrap gives the command line of root headers for another bucket of recordings and no key, after they were opened
again; it needs a `hold` or `link` entry about the recording. The sealer may ask whether two headers agree, and may have
a bucket forgotten.
Nothing is ever written. Whoever owns this process while it is unlocked can read everything: it has no network, no
database and no other work.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock

from core import log
from core.canonical import CanonicalError, Json, decode
from core.clock import parse_stamp, utc_now
from core.digest import sha256_hex
from core.errors import SealdockError
from vault.formats.entry import Leaf, check_bucket, is_ulid
from vault.formats.note import Note, open_note
from vault.keyd_client import (
    IDLE_S,
    LINE_LIMIT,
    KeydClient,
    KeydLockedError,
    KeydRefusedError,
    KeydStatus,
    KeydUnreachableError,
    KeydUnreadableError,
    RateLimitedError,
)
from vault.line_server import LineServer
from vault.log.ledger import LogReader
from vault.log.rules import GRANTS, Register
from vault.retention.headers import Headers, WrappingError
from vault.retention.schedule import holds_recordings
from vault.store.keys import Keyring, bucket_directory
from vault.store.objects import DisposedError, Vault

__all__ = [
    "Keyd", "KeydClient", "KeydLockedError", "KeydRefusedError", "KeydStatus", "KeydUnreachableError",
    "KeydUnreadableError", "RateLimitedError",
]  # fmt: skip

REQUEST_AGE = timedelta(seconds=60)
GRANT_AGE = timedelta(hours=12)  # a working day's viewing needs no second entry
JOBS = ("index", "proxy", "open")  # what ingest.proxies and ingest.erase_open do with an original
RATES = {  # keys per second, and how many at once
    "console": (20.0, 300.0),
    "worker": (5.0, 100.0),  # one sandboxed index after the other takes longer than a fifth of a second each
    "bureau": (20.0, 1000.0),  # re-wraps of a month that is being closed
    "sealer": (50.0, 1000.0),
}
OPERATIONS = {  # what is done with keys, and who may ask for it
    "unlock": ("console", "bureau"),  # few: five wrong PINs lock a token for everybody
    "unwrap": ("console", "worker"),
    "unwrap_derived": ("console", "worker"),
    "rewrap": ("bureau",),  # a header that a console kept would open the recording after its bucket is gone
    "agrees": ("sealer", "bureau"),
    "forget": ("sealer", "bureau"),
}
REWRAP_REASONS = ("hold", "link")  # entries about a recording for which it may go to another bucket
ASK_RATE = (50.0, 500.0)  # requests of any kind by one process: a console asks for the status with every page
UNLOCK_RATE = (0.1, 5.0)  # beside the second that every try costs (scrypt)
_LOG = log.get("vault.keyd")


class _Bucket:
    """A token bucket: `rate` tokens a second, `burst` at most."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left, self._at = rate, burst, burst, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Keyd:
    """The server; `opener` opens the root with a passphrase or PIN. `run` answers until told to stop."""

    def __init__(self, vault: Vault, opener: Callable[[bytes], Keyring], socket_path: Path) -> None:
        self._vault, self._opener, self._socket_path = vault, opener, socket_path
        self._reader = LogReader(vault)
        self._register = Register()
        self._known = 0  # entries already searched for process keys
        self._keyring: Keyring | None = None
        self._disposed: set[str] = set()
        self._answered: dict[str, float] = {}
        self._asks: dict[str, _Bucket] = {}
        self._buckets = {name: _Bucket(*rate) for name, rate in RATES.items()}
        self._unlock_bucket = _Bucket(*UNLOCK_RATE)
        self._lock = Lock()

    def unlock(self, secret: bytes) -> None:
        """Open the root, wherever it is kept, with a passphrase or PIN. Raises RootError or OSError."""
        self.adopt(self._opener(secret))

    def adopt(self, keyring: Keyring) -> None:
        """Use a keyring that is open; the root stays in memory until the process ends."""
        self._keyring = keyring
        _LOG.info("unlocked")

    def run(self, stop: Event) -> None:
        """Answer on the socket until `stop` is set."""
        LineServer(self._socket_path, self.answer, line_limit=LINE_LIMIT, idle_s=IDLE_S).run(stop)

    def answer(self, line: bytes, peer: str = "") -> Json:
        """One request, one answer; errors come back as code and parameters, never as an exception."""
        try:
            return {"ok": True, **self._answer(line, peer)}
        except WrappingError as cause:
            refusal: SealdockError = KeydRefusedError(**cause.parameters)
        except OSError as cause:
            path = cause.filename or self._vault.path
            refusal = KeydUnreadableError(path=path, why=cause.strerror or str(cause))
        except SealdockError as cause:
            refusal = cause
        _LOG.warning("refused", peer=peer, code=refusal.code, why=str(refusal))
        parameters = {name: str(value) for name, value in refusal.parameters.items()}
        return {"ok": False, "code": refusal.code, "parameters": parameters, "sentence": str(refusal)}

    def _answer(self, line: bytes, peer: str) -> Json:
        request = self._open(line)  # 1, 2
        name, operation = request["by"], request["op"]
        if operation == "status":
            return {"is_unlocked": self._keyring is not None, "entries": self._reader.size}
        if name not in OPERATIONS.get(operation, ()):
            raise KeydRefusedError(why=f"{name} may not ask for {operation}")
        if operation == "unlock":
            self._spend(self._unlock_bucket, name)
            self.unlock(_text(request, "passphrase").encode())
            return {}
        self._spend(self._buckets[name], name)  # 2
        operations: dict[str, Callable[[Json], Json]] = {
            "unwrap": self._unwrap, "unwrap_derived": self._unwrap_derived, "rewrap": self._rewrap,
            "agrees": self._agrees, "forget": self._forget,
        }  # fmt: skip
        answer = operations[operation](request)
        _LOG.info(
            "keys were used", by=name, peer=peer, op=operation, object=request.get("object"),
            grant=request.get("grant"), job=request.get("job"), bucket=request.get("bucket"),
        )  # fmt: skip
        return answer

    def _open(self, line: bytes) -> Json:
        """Check 1, and the first half of 2: nobody may ask without end, whatever the answers are."""
        try:
            note = json.loads(line)["request"].encode()
            request = decode(Note.parse(note).text.removesuffix("\n").encode())
            name, asked_at = _text(request, "by"), parse_stamp(_text(request, "time"))
            request_id, _ = _text(request, "id"), _text(request, "op")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CanonicalError) as cause:
            raise KeydRefusedError(why="the request is malformed") from cause
        if not is_ulid(request_id):
            raise KeydRefusedError(why="the request is malformed")
        with self._lock:
            self._learn_keys()
        if name not in self._register.verifiers:
            raise KeydRefusedError(why="no key is registered under that name")
        open_note(note, [self._register.verifiers[name]])
        if abs(utc_now() - asked_at) > REQUEST_AGE:
            raise KeydRefusedError(why="the request is too old, or a clock is wrong")
        with self._lock:
            asks = self._asks.setdefault(name, _Bucket(*ASK_RATE))
        self._spend(asks, name)
        self._answer_once(request_id)
        return request

    def _answer_once(self, request_id: str) -> None:
        now, limit = time.monotonic(), 2 * REQUEST_AGE.total_seconds()
        with self._lock:
            while self._answered and now - next(iter(self._answered.values())) > limit:
                del self._answered[next(iter(self._answered))]
            if request_id in self._answered:
                raise KeydRefusedError(why="this request was answered before")
            self._answered[request_id] = now

    def _learn_keys(self) -> None:
        size = self._reader.size
        for place, raw in enumerate(self._reader.raws(self._known, size), self._known):
            if b'"type":"key"' in raw:  # only a glance; `proven_leaf` is the check
                self._register.take(self._reader.proven_leaf(place))
            elif b'"type":"dispose"' in raw and (leaf := self._reader.proven_leaf(place)).type == "dispose":
                self._disposed.update(leaf.about)
        self._known = size

    def _spend(self, bucket: _Bucket, name: str) -> None:
        with self._lock:
            if not bucket.take():
                raise RateLimitedError(name=name)

    def _unwrap(self, request: Json) -> Json:
        place = _number(request, "object")
        headers = self._headers(place, self._granted_object(request, place))
        return _given(headers.file_key())  # 4

    def _unwrap_derived(self, request: Json) -> Json:
        place = _number(request, "object")
        leaf = self._granted_object(request, place)
        slot = _bytes(request, "key_slot")
        text = open_note(_text(request, "note").encode(), [self._register.verifiers["worker"]])  # 4
        try:
            facts = decode(text.removesuffix("\n").encode())
        except CanonicalError as cause:
            raise KeydRefusedError(why="the derivative's note is malformed") from cause
        if facts.get("parent") != leaf.id or facts.get("header_sha256") != sha256_hex(slot):
            raise KeydRefusedError(why="the derivative's note is about something else")
        if self._vault.slots.object_slot(place) is None:
            raise DisposedError(index=place)
        return _given(self._headers(place, leaf).derived_key(slot))

    def _rewrap(self, request: Json) -> Json:
        """New headers, for a reason on the log; no key leaves."""
        place = _number(request, "object")
        leaf = self._object(place)
        reason = self._reader.proven_leaf(_number(request, "grant"))
        if reason.type not in REWRAP_REASONS or leaf.id not in reason.about:
            raise KeydRefusedError(why="the named entry is no reason to re-wrap this recording")
        if not holds_recordings(bucket := _text(request, "bucket")):
            raise KeydRefusedError(
                why=f"{bucket} is no bucket of recordings: what lies in it is never disposed of"
            )
        slot, body_slot = self._headers(place, leaf).wrapped_for(bucket)
        answer = {"object_slot": b64encode(slot).decode()}
        return answer if body_slot is None else answer | {"body_slot": b64encode(body_slot).decode()}

    def _agrees(self, request: Json) -> Json:
        """Says whether the keys are the same, and nothing more."""
        place = _number(request, "object")
        self._headers(place, self._object(place)).check_agree(_text(request, "bucket"))
        return {}

    def _forget(self, request: Json) -> Json:
        """Only of a bucket that is gone: what is still there would be opened again by the next request anyway."""
        bucket = _text(request, "bucket")
        check_bucket(bucket)
        if bucket_directory(self._vault, bucket).exists():
            raise KeydRefusedError(why=f"the bucket {bucket} is still there")
        if self._keyring is not None:
            self._keyring.forget(bucket)
        return {}

    def _headers(self, place: int, leaf: Leaf) -> Headers:
        if self._vault.slots.object_slot(place) is None:  # whether unlocked or not
            raise DisposedError(index=place)
        return Headers(self._vault, self._reader, self._unlocked(), place, leaf)

    def _object(self, place: int) -> Leaf:
        """The recording that entry `place` sealed. Raises KeydRefusedError; DisposedError is check 5."""
        leaf = self._reader.proven_leaf(place)
        if leaf.object is None:
            raise KeydRefusedError(why=f"entry {place} seals no object")
        if leaf.id in self._disposed:
            raise DisposedError(index=place)
        return leaf

    def _granted_object(self, request: Json, place: int) -> Leaf:
        """Check 3, and that there is an object at all."""
        leaf = self._object(place)
        if request["by"] == "worker":
            if request.get("job") not in JOBS:
                raise KeydRefusedError(why="no such job needs content")
        else:
            self._check_grant(self._reader.proven_leaf(_number(request, "grant")), leaf, request["by"])
        return leaf

    def _check_grant(self, grant: Leaf, leaf: Leaf, name: str) -> None:
        if grant.type not in GRANTS or grant.by != name:
            raise KeydRefusedError(why="the named entry grants nothing")
        if leaf.id not in grant.about:
            raise KeydRefusedError(why="the named entry is about something else")
        age = utc_now() - parse_stamp(grant.time)
        if age > GRANT_AGE:
            raise KeydRefusedError(why="the named entry is too old; view again")
        if age < -REQUEST_AGE:
            raise KeydRefusedError(why="the named entry is dated in the future, or a clock is wrong")

    def _unlocked(self) -> Keyring:
        if self._keyring is None:
            raise KeydLockedError
        return self._keyring


def _given(file_key: bytes) -> Json:
    return {"file_key": b64encode(file_key).decode()}


def _number(request: Json, name: str) -> int:
    value = request.get(name)
    if type(value) is not int or value < 0:
        raise KeydRefusedError(why=f"the request needs the index of its {name}")
    return value


def _text(request: Json, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise KeydRefusedError(why=f"the request needs {name}")
    return value


def _bytes(request: Json, name: str) -> bytes:
    try:
        return b64decode(_text(request, name), validate=True)
    except ValueError as cause:
        raise KeydRefusedError(why=f"{name} is not base64") from cause
