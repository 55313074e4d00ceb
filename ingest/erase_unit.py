"""The eraser's own program: the only one that writes to a card, for one exchange, and believes nobody.

    python -m ingest.erase_unit settings PATH                  sealdock-erase@.service: terms from root's settings
    python -m ingest.erase_unit direct VAULT MOUNTS DAYS       a child of a dock that is root, in its own namespace

Invariants: nothing is erased that the vault's own log does not prove sealed and permitted, whatever is asked
(ingest.erase_evidence); where the settings say "keep", nothing is erased at all; the card is read-only again before the
last answer, and also when the other side has gone. Answers go to standard output, a line for each question
(ingest.erase_line); what was done stands in the journal too.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import sys
from base64 import b64decode
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.canonical import Json
from core.clock import utc_now
from core.errors import SealdockError
from core.settings import load
from devices.eraser import Fate, MountedCard, NotClosedError, erase, find_card, writable, written_since
from devices.tree import Tree
from devices.unwritten import is_kernel_name, sectors_written
from ingest.erase_evidence import NoWarrantError, Terms, check_erasable, check_warrant
from ingest.erase_line import LEFT_OPEN, LINE_LIMIT
from vault.formats.entry import Leaf
from vault.store.objects import Vault

WRONG_USE, CANNOT = 2, 3
_NEWNS, _SLAVE_RECURSIVE = (
    0x00020000,
    0x80000 | 0x4000,
)  # linux/sched.h CLONE_NEWNS; linux/mount.h MS_SLAVE | MS_REC


class _QuestionError(Exception):
    """A line that is no question."""


@dataclass
class Eraser:
    """One exchange about one card."""

    terms: Terms
    mounts: Path
    _card: MountedCard | None = None
    _tree: Tree | None = None
    _warrant: Leaf | None = None
    _before: int | None = None
    _asker: BinaryIO | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def answer(self, question: BinaryIO, reply: BinaryIO) -> None:
        """Every line until the end, or until the other side has gone; the last says so where the card stayed open."""
        self._asker = question
        try:
            self._answer_all(question, reply)
        except NotClosedError as cause:
            sys.stderr.write(f"{cause}\n")
            reply.write(json.dumps({"refused": str(cause), LEFT_OPEN: True}).encode() + b"\n")
            reply.flush()

    def _answer_all(self, question: BinaryIO, reply: BinaryIO) -> None:
        with self._open:
            while line := question.readline(LINE_LIMIT):
                try:
                    said = self._answer(_object(line))
                except NotClosedError:
                    raise
                except (SealdockError, _QuestionError, OSError) as cause:
                    said = {"refused": str(cause)}
                reply.write(json.dumps(said).encode() + b"\n")
                reply.flush()
                if "sectors_written" in said:
                    return

    def _answer(self, asked: Json) -> Json:
        match asked:
            case {"card": str(name)} if self._card is None and is_kernel_name(name):
                self._begin(name)
                return {"ok": True}
            case {"warrant": str(receipt)} if self._card is not None:
                self._warrant = check_warrant(_bytes(receipt), self.terms, utc_now())
                return {"ok": True}
            case {"path": str(path), "receipt": str(receipt)} if self._tree is not None:
                return {"fate": self._erase(_bytes(path), _bytes(receipt))}
            case {"end": True} if self._card is not None:
                self._open.close()  # read-only again, and everything on the medium, before it is counted
                return {"sectors_written": written_since(self._card, self._before)}
        raise _QuestionError("this is no question for the eraser")

    def _begin(self, name: str) -> None:
        card = find_card(name, self.mounts)
        self._before = sectors_written(name)
        self._tree = self._open.enter_context(writable(card))
        self._card = card

    def _erase(self, path: bytes, receipt: bytes) -> Fate:
        if self._tree is None or self._warrant is None:
            raise NoWarrantError(why="no warrant was shown")
        content = check_erasable(receipt, self._warrant, self.terms, utc_now())
        fate = erase(self._tree, path, content, self._is_asked)
        sys.stderr.write(f"{self._card.name if self._card else ''} {content.sha256} {fate.value}\n")
        return fate

    def _is_asked(self) -> bool:
        """Whether the one who asked is there to write down what becomes of the file."""
        if self._asker is None:
            return False
        line = select.poll()
        line.register(self._asker.fileno(), select.POLLRDHUP)  # POLLHUP and POLLERR are always told
        return not line.poll(0)


def own_namespace() -> None:
    """Leave the machine's mount namespace; what is mounted outside still comes in, nothing goes out. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS) or libc.mount(b"none", b"/", None, _SLAVE_RECURSIVE, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _object(line: bytes) -> Json:
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise _QuestionError("a line is no JSON") from cause
    if not isinstance(asked, dict):
        raise _QuestionError("a line is no object")
    return asked


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as cause:
        raise _QuestionError("a value is not base64") from cause


def _eraser(argv: Sequence[str]) -> Eraser | None:
    match argv:
        case ["settings", path]:
            settings = load(Path(path))
            if settings.dock.erase.policy != "erase":
                raise NoWarrantError(why="the settings say that recorders keep their footage")
            policy = settings.dock.erase
            terms = Terms(Vault.open(settings.vault), policy.grace_days, policy.replicated, policy.witnessed)
            return Eraser(terms, settings.dock.mounts)
        case ["direct", vault, mounts, days] if days.isdecimal():
            own_namespace()
            return Eraser(Terms(Vault.open(Path(vault)), int(days)), Path(mounts))
    return None


def main(argv: Sequence[str]) -> int:
    """One exchange. 0 done, 2 wrong use, 3 not set up for it."""
    try:
        eraser = _eraser(argv)
    except (SealdockError, OSError) as cause:
        sys.stdout.buffer.write(json.dumps({"refused": str(cause)}).encode() + b"\n")
        return CANNOT
    if eraser is None:
        sys.stderr.write("usage: python -m ingest.erase_unit settings PATH | direct VAULT MOUNTS DAYS\n")
        return WRONG_USE
    eraser.answer(sys.stdin.buffer, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
