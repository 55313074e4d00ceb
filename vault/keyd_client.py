"""Asking keyd for a file key. The server, and the rules by which it answers, are vault.keyd."""

from __future__ import annotations

import json
import socket
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

from core.canonical import Json, encode
from core.clock import new_id, stamp, utc_now
from core.errors import Exit, SealdockError, all_errors
from vault.error import VaultError
from vault.formats.note import SigningKey, sign_note

LINE_LIMIT = 64 * 1024  # a derivative's note and slot are under 2 KiB
IDLE_S = 30.0  # the longest wait for an answer; an unlock takes about one second


class KeydLockedError(VaultError):
    """The root is not open."""

    code = "vault.keyd_locked"
    sentence = (
        "The vault is locked: recordings are sealed and kept, and nothing can be watched until somebody enters the "
        "passphrase (`sealdock keyd unlock`)."
    )


class KeydRefusedError(VaultError):
    """A request that keyd does not answer."""

    code = "vault.keyd_refused"
    sentence = "The key was not given out: {why}. The evidence is unharmed; the request was noted."
    exit_code = Exit.NO


class RateLimitedError(VaultError):
    """Too many keys in too short a time."""

    code = "vault.keyd_rate"
    sentence = "{name} asked for too many keys at once. Wait a moment and try again; the request was noted."


class KeydUnreachableError(VaultError):
    """Nobody listens, or the answer was not understood."""

    code = "vault.keyd_unreachable"
    sentence = (
        "The key process does not answer at {path} ({why}). Sealing goes on without it; nothing can be watched. Check "
        "that the sealdock-keyd service is up."
    )


class KeydUnreadableError(VaultError):
    """keyd is there, and its files are not."""

    code = "vault.keyd_unreadable"
    sentence = (
        "The key process cannot read {path} ({why}). No key was given out and nothing was changed; check the disk and "
        "who may read the file, then run `sealdock vault verify`."
    )


@dataclass(frozen=True)
class KeydStatus:
    """What keyd says of itself."""

    is_unlocked: bool
    entries: int  # size of the log it sees


class KeydClient:
    """Asks keyd on behalf of one process. Safe to share between threads: every call is a connection of its own."""

    def __init__(self, socket_path: Path, signer: SigningKey) -> None:
        self._path = socket_path
        self._signer = signer

    def status(self) -> KeydStatus:
        """Whether content can be opened. Raises KeydUnreachableError."""
        answer = self._ask("status")
        return KeydStatus(answer["is_unlocked"], answer["entries"])

    def unlock(self, passphrase: bytes) -> None:
        """Open the root; takes about a second. Raises WrongPassphraseError."""
        self._ask("unlock", passphrase=passphrase.decode(errors="replace"))

    def unwrap(self, index: int, *, grant: int | None = None, job: str | None = None) -> bytes:
        """The file key of the object that entry `index` sealed.

        The console names `grant`, the index of a view or export entry; the worker names the kind of its `job`. Raises
        KeydLockedError, KeydRefusedError, RateLimitedError, DisposedError, KeydUnreadableError or
        KeydUnreachableError.
        """
        return b64decode(self._ask("unwrap", object=index, grant=grant, job=job)["file_key"])

    def unwrap_derived(
        self, note: bytes, key_slot: bytes, index: int, *, grant: int | None = None, job: str | None = None
    ) -> bytes:
        """The file key of a derivative of that object, from its signed note and its `header || nonce`."""
        slot = b64encode(key_slot).decode()
        answer = self._ask(
            "unwrap_derived", note=note.decode(), key_slot=slot, object=index, grant=grant, job=job
        )
        return b64decode(answer["file_key"])

    def rewrap(self, index: int, bucket: str, *, grant: int) -> tuple[bytes, bytes | None]:
        """New `header || nonce` of that recording's object and private part for another bucket; no key comes out.

        `grant` is the index of a `hold` or `link` entry about the recording. keyd opened the new headers before it
        gave them out. Raises as `unwrap`, and NoBucketError.
        """
        answer = self._ask("rewrap", object=index, bucket=bucket, grant=grant)
        body = answer.get("body_slot")
        return b64decode(answer["object_slot"]), None if body is None else b64decode(body)

    def agrees(self, index: int, bucket: str) -> None:
        """Raises KeydRefusedError unless what lies in `bucket` of that recording also opens from its newest re-wrap."""
        self._ask("agrees", object=index, bucket=bucket)

    def forget(self, bucket: str) -> None:
        """Make keyd let go of the identity of a bucket that was destroyed."""
        self._ask("forget", bucket=bucket)

    def _ask(self, operation: str, **parameters: object) -> Json:
        given = {name: value for name, value in parameters.items() if value is not None}
        request = {
            "op": operation, "by": self._signer.name, "id": new_id(), "time": stamp(utc_now()), **given,
        }  # fmt: skip
        note = sign_note(encode(request).decode() + "\n", self._signer).decode()
        try:
            answer: Json = json.loads(self._exchange(json.dumps({"request": note}).encode() + b"\n"))
        except (OSError, ValueError) as cause:
            raise KeydUnreachableError(path=self._path, why=str(cause) or "no answer") from cause
        if not answer.pop("ok"):
            raise _error(answer)
        return answer

    def _exchange(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(IDLE_S)
            connection.connect(str(self._path))
            connection.sendall(line)
            with connection.makefile("rb") as lines:
                return lines.readline(LINE_LIMIT)


def _error(answer: Json) -> SealdockError:
    """The error that keyd met, as the class it was there."""
    for kind in all_errors():
        if kind.code == answer["code"]:
            return kind(**answer["parameters"])
    return KeydRefusedError(why=answer["sentence"])
