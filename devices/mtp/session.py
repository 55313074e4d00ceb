"""One docked device and the session with it, which may drop and is taken up again.

Invariants: after a drop nothing is read before the device has said the same of itself as at first; a device that has
left raises DepartedError, however libmtp says it; one command is under way at a time, and a piece that was asked for
ahead is either what is wanted next or waited out; every operation that any worker has sent is known to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core import log
from devices.detect import Arrival
from devices.error import DepartedError
from devices.mass_storage import Presence
from devices.mtp.error import MtpSilentError, MtpToolMissingError, OtherDeviceError
from devices.mtp.facts import Facts, Item, facts_of, items_of
from devices.mtp.link import DeviceRefusedError, Link, LinkError
from devices.mtp.operation import Operations
from devices.mtp.wire import SLOTS, Message, WireError, number

OPEN_TRIES = 4  # a device that was reset, or has just been plugged in, needs a moment
MOST_ANSWERS = 1 << 14  # of one listing: a million objects, five times what is taken from a whole device
PAUSE_S = 0.5  # before the second try; then twice that, and so on
CLOSE_S = 2.0  # a worker that ends by itself closes the session; one that does not is killed
_log = log.get(__name__)

Start = Callable[[], Link]


class DroppedError(Exception):
    """The session is lost, or the device refused; the device may still be there. `reopen`, and try again."""


@dataclass(frozen=True)
class Address:
    """Where the device is on the bus and what its descriptors say it is; `node` is gone once it has left."""

    node: Path
    bus: int
    number: int
    vendor: int
    product: int

    @classmethod
    def of(cls, arrival: Arrival) -> Address:
        """From the device's node, `/dev/bus/usb/<bus>/<number>`. Raises MtpSilentError for any other."""
        bus, number_on_bus = arrival.node.parts[-2:] if len(arrival.node.parts) > 1 else ("", "")
        try:
            ids = int(arrival.vendor_id, 16), int(arrival.product_id, 16)
            return cls(arrival.node, int(bus), int(number_on_bus), *ids)
        except ValueError as cause:
            raise MtpSilentError(device=arrival.shown, why="its place on the bus is not known") from cause


@dataclass(frozen=True)
class Piece:
    """A stretch of one file; `whole`: the device gives whole files only, so they are let in from the start."""

    handle: int
    offset: int
    length: int
    whole: bool = False


class Session:
    """An open session. `generation` counts how often it was taken up again: handles are of one generation."""

    def __init__(self, address: Address, presence: Presence, start: Start = Link) -> None:
        self._address, self._presence, self._start = address, presence, start
        self.generation = 0
        self._ended = Operations()
        self._link: Link | None = None
        self._ahead: Piece | None = None
        self._slot = 0
        self.owner: object = None  # whoever took the piece that lies in the slots
        self.facts = self._open()

    def list(self, storage: int, folder: int | None, most: int) -> list[Item]:
        """What is in a folder (None: at the top); of more than `most`, one more.

        Raises DroppedError, DepartedError.
        """
        self._settle()
        found: list[Item] = []
        with self._losing():
            for count, message in enumerate(self._ask({"do": "list", "storage": storage, "folder": folder})):
                if count > MOST_ANSWERS:
                    raise LinkError("a listing without end")
                found += items_of(message)[: most + 1 - len(found)]
        return found

    def take(self, piece: Piece, following: Piece | None = None) -> memoryview:
        """The bytes of a piece, perhaps fewer, valid until the next call; `following` is fetched meanwhile.

        Raises DroppedError, DepartedError.
        """
        with self._losing():
            if self._ahead != piece:
                self._settle()
                self._fetch(piece)
            slot, self._ahead = self._slot, None
            count = number(self._living.answer(self.check), "count", piece.length)
            if following is not None and count == piece.length:
                self._fetch(following)
            return self._living.slot(slot, count)

    def reopen(self) -> None:
        """Take the session up again with a new worker. Raises MtpError, DepartedError; OtherDeviceError."""
        self._end(patience_s=0)
        self.generation += 1
        found = self._open()
        if not found.is_same_device(self.facts):
            self._end(patience_s=0)
            raise OtherDeviceError(found=found.shown or "something", expected=self.facts.shown)
        _log.warning("an MTP session dropped and was taken up again", device=self._presence.device)

    def check(self) -> None:
        """Raises DepartedError once the device is gone."""
        self._presence.check()
        if not self._address.node.exists():
            raise DepartedError(device=self._presence.device)

    def is_here(self) -> bool:
        """Whether the device is still on the bus."""
        return self._presence.is_here() and self._address.node.exists()

    @property
    def operations(self) -> Operations:
        """Everything that was sent until now, by this worker and those before it."""
        every = Operations()
        every.add(self._ended.counts)
        if self._link is not None:
            every.add(self._link.sent())
        return every

    def close(self) -> None:
        """End the session; safe to call again."""
        self._end(CLOSE_S)

    def _open(self) -> Facts:
        """Start a worker and open a session. Raises MtpSilentError, MtpToolMissingError, DepartedError."""
        why = ""
        for attempt in range(OPEN_TRIES):
            self._presence.wait_departed(PAUSE_S * attempt)
            self.check()
            self._link, self._ahead = self._start(), None
            try:
                return self._greet()
            except (LinkError, DeviceRefusedError, WireError) as cause:
                why = str(cause)
                self._end(patience_s=0)
                if isinstance(cause, DeviceRefusedError) and cause.is_missing:
                    raise MtpToolMissingError(device=self._presence.device, why=why) from cause
            except BaseException:
                self._end(patience_s=0)
                raise
        raise MtpSilentError(device=self._presence.device, why=why)

    def _greet(self) -> Facts:
        at = self._address
        command = {
            "do": "open",
            "bus": at.bus,
            "number": at.number,
            "vendor": at.vendor,
            "product": at.product,
        }
        return facts_of(next(self._ask(command)))

    def _fetch(self, piece: Piece) -> None:
        self._slot = (self._slot + 1) % SLOTS
        self._living.send(
            {
                "do": "read", "handle": piece.handle, "offset": piece.offset, "length": piece.length,
                "whole": piece.whole, "slot": self._slot,
            }
        )  # fmt: skip
        self._ahead = piece

    def _settle(self) -> None:
        """Wait out what was asked for ahead and is not wanted."""
        if self._ahead is None:
            return
        self._ahead = None
        with self._losing(), suppress(DeviceRefusedError):  # refused or not, nobody wants it
            self._living.answer(self.check)

    def _ask(self, command: Message) -> Iterator[Message]:
        self._living.send(command)
        return self._living.answers(self.check)

    @property
    def _living(self) -> Link:
        if self._link is None:
            raise LinkError("the session is closed")
        return self._link

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """Turns what a worker may do wrong into DroppedError, or DepartedError once the device is gone."""
        try:
            yield
        except (LinkError, DeviceRefusedError, WireError) as cause:
            self.check()
            raise DroppedError(str(cause)) from cause

    def _end(self, patience_s: float) -> None:
        link, self._link, self._ahead = self._link, None, None
        if link is not None:
            link.end(patience_s)
            self._ended.add(link.sent())
