"""How dockd asks for erasing, and who does it.

One exchange is about one card. dockd sends JSON lines: `{"card": name}`, then warrants `{"warrant": receipt}` and files
`{"path": …, "receipt": …}`, bytes in base64; each line has one answer: `{"ok": true}`, `{"fate": …}`, or `{"refused":
why}`. `{"end": true}` has the card closed and answers `{"sectors_written": n}`. However an exchange ends, dockd waits
until the other side has closed the card and gone; `"left_open"` in a refusal says that it could not.

On a station the other side is `sealdock-erase@.service`, a process of root's that systemd starts for the connection;
where there is none and dockd itself is root (the demo, tests), the same program runs as a child in a mount namespace of
its own. dockd never has a writable mount, in neither case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SHUT_WR, SOCK_STREAM, socket, socketpair
from typing import BinaryIO

from core.canonical import Json
from devices.eraser import Fate
from ingest.error import IngestError

SOCKET = "erase.sock"
LINE_LIMIT = 1 << 20  # bytes: a warrant with 255 subjects and its proof are far below
ANSWER_S = 1800.0  # a file is read in full before it answers; 64 GB at 40 MB/s take so long
CLOSING_S = (
    600.0  # a remount and two protections, each as long as a hung medium may take (devices.eraser.TOOL_S)
)
MODULE = "ingest.erase_unit"
LEFT_OPEN = "left_open"


class EraserError(IngestError):
    """Nobody erases, or the one who does has stopped answering."""

    code = "ingest.eraser"
    sentence = (
        "Erasing on {card} stopped: {why}. Everything on the recorder is sealed; what was erased is on the log and the "
        "rest is still on it."
    )


class CardOpenError(EraserError):
    """The card is writable still, or nobody knows: never a green tile."""

    code = "ingest.card_open"
    sentence = (
        "{card} was not made read-only again after erasing: {why}. Everything on the recorder is sealed; take it "
        "out, and dock it again before it is used."
    )


@dataclass(frozen=True)
class Reach:
    """Where the eraser is: its socket, else a child that is told the vault, the mounts and the days of grace."""

    door: Path
    vault: Path
    mounts: Path
    grace_days: int

    @contextmanager
    def exchange(self, card: str) -> Iterator[Exchange]:
        """A card opened for erasing; closed again when this is left. Raises EraserError, CardOpenError."""
        try:
            with self._connected(card) as connection:
                connection.settimeout(ANSWER_S)
                with connection.makefile("rb") as answers:
                    made = Exchange(card, connection, answers)
                    try:
                        made.ask({"card": card})
                        yield made
                    finally:
                        made.wait_closed()
        except OSError as cause:
            raise EraserError(card=card, why=cause.strerror or str(cause)) from cause

    @contextmanager
    def _connected(self, card: str) -> Iterator[socket]:
        if self.door.exists():
            with socket(AF_UNIX, SOCK_STREAM) as connection:
                connection.connect(str(self.door))
                yield connection
            return
        if os.geteuid() != 0:
            raise EraserError(card=card, why="sealdock-erase.socket is not started")
        ours, theirs = socketpair()
        told = (str(self.vault), str(self.mounts), str(self.grace_days))
        argv, end = [sys.executable, "-m", MODULE, "direct", *told], theirs.fileno()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with ours, theirs, subprocess.Popen(argv, stdin=end, stdout=end, env=environment) as child:
            theirs.close()
            try:
                yield ours
            finally:
                ours.close()
                child.wait(ANSWER_S)
        if child.returncode:
            raise EraserError(card=card, why=f"the eraser ended with {child.returncode}")


@dataclass(frozen=True)
class Exchange:
    """One card's lines. Every call raises EraserError when the other side refuses or is silent."""

    card: str
    _connection: socket
    _answers: BinaryIO

    def warrant(self, receipt: bytes) -> None:
        """Show the warrant for what follows."""
        self.ask({"warrant": _text(receipt)})

    def erase(self, path: bytes, receipt: bytes) -> Fate:
        """Have one file compared and erased."""
        answer = self.ask({"path": _text(path), "receipt": _text(receipt)})
        try:
            return Fate(str(answer.get("fate")))
        except ValueError as cause:
            raise EraserError(card=self.card, why="its answer is not understood") from cause

    def end(self) -> int | None:
        """Have the card closed; sectors of 512 bytes that were written to its disk, None where it is not known."""
        written = self.ask({"end": True}).get("sectors_written")
        return written if isinstance(written, int) and written >= 0 else None

    def wait_closed(self) -> None:
        """Say no more, and wait until the other side has gone: it has made the card read-only by then."""
        try:
            self._connection.settimeout(CLOSING_S)
            self._connection.shutdown(SHUT_WR)
            while line := self._answers.readline(LINE_LIMIT):
                if LEFT_OPEN.encode() in line:
                    raise CardOpenError(card=self.card, why=line.decode(errors="replace").strip())
        except ConnectionError:
            return  # it has gone already
        except OSError as cause:
            raise CardOpenError(card=self.card, why=str(cause)) from cause

    def ask(self, line: Json) -> Json:
        """One line and its answer."""
        try:
            self._connection.sendall(json.dumps(line).encode() + b"\n")
            said = self._answers.readline(LINE_LIMIT)
            if not said and "card" not in line:  # it died with the card open
                raise CardOpenError(card=self.card, why="it is silent")
            answer = json.loads(said)
        except (OSError, ValueError) as cause:
            raise EraserError(card=self.card, why=str(cause) or "it is silent") from cause
        if not isinstance(answer, dict) or "refused" in answer:
            why = str(answer.get("refused")) if isinstance(answer, dict) else "its answer is not understood"
            if isinstance(answer, dict) and LEFT_OPEN in answer:
                raise CardOpenError(card=self.card, why=why)
            raise EraserError(card=self.card, why=why)
        return answer


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
