"""The root identity sealed in a TPM 2: `root.tpm2` opens on this machine's TPM and on no other, and with its PIN.

The primary key is made anew from the owner hierarchy's seed each time (TPM 2.0 part 1, section 14), so nothing stays in
the TPM between two calls and clearing it destroys the root. The sealed object counts wrong PINs (no `noda`). The
tpm2-tools do the work; contexts live for one call in a directory of memory, and are flushed after every step, because a
TPM without a resource manager has room for three.
"""

from __future__ import annotations

import re
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.canonical import CanonicalError, decode, encode
from core.durable import create_once
from core.settings import RootKind
from vault.formats.age import Identity
from vault.store.root import (
    SECRET_MODE,
    PinLockedError,
    RootDamagedError,
    RootError,
    WrongPinError,
    parse_root,
    read_root,
)

TPM_FILE = "root.tpm2"
_MEMORY = Path("/dev/shm")  # noqa: S108  a RAM disk; systemd's PrivateTmp does not cover it, mode 0700 does
_ATTRIBUTES = "fixedtpm|fixedparent|userwithauth"
_TEMPLATE = "ecc256:aes128cfb"
_TOOL_S = 60.0  # a slow TPM takes seconds for a primary key
_CODE = re.compile(r"\(0x([0-9A-Fa-f]+)\)")
_FORMAT_ONE = 0x80  # part 2, section 6.6: then bits 8-11 say which handle, and bits 0-5 what
_AUTH_FAIL, _BAD_AUTH = 0x8E, 0xA2  # format one, handle bits masked out
_LOCKOUT = 0x921
_INTEGRITY = {
    0x9F,
    0x84,
    0x95,
    0x92,
    0x96,
}  # integrity, value, size, structure: another TPM's object, or damage
_PLACE = "the TPM"
_KEYS = {"v", "kind", "public", "private"}


class TpmError(RootError):
    """The TPM does not answer, or refuses."""

    code = "vault.root_tpm"
    sentence = (
        "The TPM cannot be used ({why}). Nothing was unlocked and sealing goes on; check that it is switched on, that "
        "tpm2-tools are installed and that this user may open it, or use the recovery key."
    )


class TpmRoot:
    """A root that needs this machine's TPM and a PIN."""

    kind = RootKind.TPM2

    def __init__(self, directory: Path) -> None:
        self.path = directory / TPM_FILE

    def keep(self, identity: Identity, secret: bytes) -> None:
        """As Root."""
        with _Bench.opened(secret, self.path) as bench:
            bench.run(
                "tpm2_create", "-Q", "-C", "primary", "-u", "public", "-r", "private", "-a", _ATTRIBUTES,
                "-p", "file:pin", "-i", "-", given=identity.text.encode(),
            )  # fmt: skip
            facts = {"v": 1, "kind": "tpm2", "public": bench.take("public"), "private": bench.take("private")}
        create_once(self.path, encode(facts), SECRET_MODE)

    def open(self, secret: bytes) -> Identity:
        """As Root. Raises WrongPinError, PinLockedError, TpmError or RootDamagedError."""
        public, private = self._read()
        with _Bench.opened(secret, self.path) as bench:
            bench.put("public", public)
            bench.put("private", private)
            bench.run("tpm2_load", "-Q", "-C", "primary", "-u", "public", "-r", "private", "-c", "object")
            text = bench.run("tpm2_unseal", "-c", "object", "-p", "file:pin")
        return parse_root(self.path, text.decode("ascii", "replace"))

    def destroy(self) -> None:
        """As Root; the object exists only in this file. A copy of it opens on this TPM until that is cleared."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[bytes, bytes]:
        try:
            facts = decode(read_root(self.path))
            if set(facts) != _KEYS or facts["v"] != 1:
                raise RootDamagedError(path=self.path, why="its facts are not those of a sealed root")
            return b64decode(facts["public"], validate=True), b64decode(facts["private"], validate=True)
        except (CanonicalError, ValueError, TypeError) as cause:
            raise RootDamagedError(path=self.path, why="it cannot be read") from cause


class _Bench:
    """A directory of memory in which the tools work, with the PIN and a primary key in it."""

    def __init__(self, directory: Path, path: Path) -> None:
        self._directory, self._path = directory, path

    @classmethod
    @contextmanager
    def opened(cls, pin: bytes, path: Path) -> Iterator[_Bench]:
        with TemporaryDirectory(prefix="sealdock-", dir=_MEMORY if _MEMORY.is_dir() else None) as place:
            bench = cls(Path(place), path)
            bench.put("pin", pin)
            bench.run("tpm2_createprimary", "-Q", "-C", "o", "-G", _TEMPLATE, "-c", "primary")
            yield bench

    def run(self, *argv: str, given: bytes = b"") -> bytes:
        """One tool's output; afterwards the TPM is as empty as before. Raises RootError."""
        done = self._call(argv, given)
        self._call(("tpm2_flushcontext", "-t"))
        if done.returncode:
            raise _refusal(done.stderr.decode(errors="replace"), self._path)
        return done.stdout

    def put(self, name: str, content: bytes) -> None:
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def take(self, name: str) -> str:
        return b64encode((self._directory / name).read_bytes()).decode()

    def _call(self, argv: tuple[str, ...], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                argv, input=given, capture_output=True, check=False, timeout=_TOOL_S, cwd=self._directory
            )
        except FileNotFoundError as cause:
            raise TpmError(why=f"{argv[0]} is not installed") from cause
        except subprocess.TimeoutExpired as cause:
            raise TpmError(why=f"{argv[0]} did not answer within {_TOOL_S:.0f} s") from cause


def _refusal(said: str, path: Path) -> RootError:
    """What the tools' last error code means (TPM 2.0 part 2, section 6.6)."""
    codes = [int(code, 16) for code in _CODE.findall(said)]
    code = codes[-1] if codes else 0
    kind = code & 0xBF if code & _FORMAT_ONE else code
    if code == _LOCKOUT:
        return PinLockedError(place=_PLACE)
    if kind in {_AUTH_FAIL, _BAD_AUTH}:
        return WrongPinError(place=_PLACE)
    if kind in _INTEGRITY:
        return RootDamagedError(path=path, why="this TPM did not make it, or it was changed")
    lines = [line for line in said.strip().splitlines() if line.startswith("ERROR")]
    return TpmError(why=lines[0].removeprefix("ERROR").lstrip(": ") if lines else "it refused")
