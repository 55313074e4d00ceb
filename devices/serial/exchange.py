"""One step of an exchange over an open line: ask, wait, and believe only a reply that the profile knows.

Invariants: a step ends, whatever the other side does: after its tries, its time and its bytes. Nothing that arrived
before a question answers it, except a late answer to the same question, and so the time of a step begins with its first
try. A recorder that is pulled out ends a step with DepartedError.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import utc_now
from devices.error import DepartedError
from devices.serial.error import (
    RecorderLockedError,
    RefusedError,
    SerialError,
    SilentError,
    UnreadableReplyError,
    WrongPasswordError,
)
from devices.serial.line import SerialLine
from devices.serial.message import Found, compose, find
from devices.serial.step import Refusal, Step
from devices.serial.table import SerialTable
from devices.serial.transcript import Transcript

_SLIP_S = (
    0.05  # the station's clock was stepped when wall time and steady time differ by more within one step
)


@dataclass(frozen=True)
class Reply:
    """The values of a reply, between two readings of the station's clock; the first is before the first try."""

    values: Mapping[str, bytes]
    asked_at: datetime
    answered_at: datetime
    clock_was_stepped: bool = False


class Exchange:
    """A conversation with one recorder; everything said goes to the transcript."""

    def __init__(
        self,
        line: SerialLine,
        table: SerialTable,
        transcript: Transcript,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._line, self.table, self.transcript, self._now = line, table, transcript, now
        self.serial = ""  # what `identify` gave, for the sentences of errors
        self._is_out = False  # whether the last request was taken as a whole

    def ask(self, name: str, values: Mapping[str, bytes] | None = None, act: str = "") -> Reply:
        """Run a step. Raises SerialError by what the recorder said, DepartedError when it has gone.

        `act` is what the list of acts says instead of the step's name.
        """
        step: Step = getattr(self.table, name)
        message = compose(step, values or {}, self.table.checksum)
        asked_at, steady = self._now(), time.monotonic()
        arrived = 0
        for _ in range(step.tries):
            found, count = self._try(name, step, message, act or name)
            arrived += count
            if found is not None:
                return self._believe(name, found, asked_at, steady)
        if not arrived:
            raise SilentError(device=self._line.node, step=name, tries=step.tries)
        raise UnreadableReplyError(device=self._line.node, step=name, why=f"{arrived} bytes without a reply")

    def tell(self, name: str) -> None:
        """Run a step that may end with the recorder leaving the line, as a switch to storage does.

        Once the whole command is out, that the line goes away is the answer. Raises as `ask` does before that.
        """
        step: Step = getattr(self.table, name)
        if step.is_given:
            try:
                self.ask(name)
            except DepartedError:
                if not self._is_out:
                    raise
                self.transcript.note(name, "the line went away after the command")
            return
        self._line.discard_input()
        if not self._send(name, step, compose(step, {}, self.table.checksum), name):
            raise SilentError(device=self._line.node, step=name, tries=1)

    def _try(self, name: str, step: Step, message: bytes, act: str) -> tuple[Found | None, int]:
        """One sending and what came of it: the reply or None, and how many bytes arrived."""
        self._line.discard_input()
        if not self._send(name, step, message, act):
            return None, 0
        arrived = b""
        try:
            arrived, found = self._await(step, time.monotonic() + step.timeout_s)
        except DepartedError:
            self.transcript.note(name, "the recorder was pulled out")
            raise
        self._keep(name, step, arrived, found)
        return found, len(arrived)

    def _send(self, name: str, step: Step, message: bytes, act: str) -> bool:
        self._is_out = False
        if _is_secret(step):  # as the profile has it: a checksum over a password tells much of a short one
            self.transcript.sent(name, (step.send or step.send_hex or "").encode("ascii"))
        else:
            self.transcript.sent(name, message)
        self.transcript.act(act, changed=step.changes)  # before: a part may be out when the recorder leaves
        self._is_out = self._line.send(message)
        if not self._is_out:
            self.transcript.note(name, "the recorder did not take the whole request")
        return self._is_out

    def _await(self, step: Step, until: float) -> tuple[bytes, Found | None]:
        arrived = b""
        most = self.table.line.most_bytes
        while time.monotonic() < until and len(arrived) < most:
            if chunk := self._line.receive(most - len(arrived)):
                arrived += chunk
                if found := find(arrived, step, self.table):
                    return arrived, found
        return arrived, None

    def _keep(self, name: str, step: Step, arrived: bytes, found: Found | None) -> None:
        """What came back; once a password was sent, a reply alone: noise can be an echo of a part of the secret."""
        if not arrived:
            self.transcript.note(name, "nothing came back")
        elif _is_secret(step) or (self.transcript.has_secret and found is None):
            self.transcript.note(name, f"{len(arrived)} bytes came back, which are not kept")
        else:
            self.transcript.received(name, found.raw if found and self.transcript.has_secret else arrived)

    def _believe(self, name: str, found: Found, asked_at: datetime, steady: float) -> Reply:
        if isinstance(found.answer, Refusal):
            self.transcript.note(name, f"the recorder says: {found.answer.meaning}")
            raise self._refusal(name, found.answer)
        trip_s = time.monotonic() - steady
        answered_at = self._now()
        slip_s = abs((answered_at - asked_at).total_seconds() - trip_s)
        return Reply(found.values, asked_at, asked_at + timedelta(seconds=trip_s), slip_s > _SLIP_S)

    def _refusal(self, name: str, refusal: Refusal) -> SerialError:
        match refusal.meaning:
            case "wrong_password":
                return WrongPasswordError(serial=self.serial)
            case "locked":
                return RecorderLockedError(serial=self.serial)
            case _:
                return RefusedError(device=self._line.node, step=name)


def _is_secret(step: Step) -> bool:
    return "password" in step.sends
