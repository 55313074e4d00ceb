"""What a profile says of a recorder's serial line: data, never code.

Strict like the rest of a profile: an unknown key, a field that a step cannot have, a reply without the checksum that
the exchange has are mistakes of the file, found before a recorder is docked (docs/operations/serial.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, model_validator

from devices.serial.step import Refusal, ReplyField, Step
from devices.table import Table, UsbId

OWNER_FIELDS = frozenset({"serial", "officer_number", "officer_name", "unit_number", "unit_name"})


def _known_zone(value: str) -> str:
    if value != "station":
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
            raise ValueError("allowed: 'station' or an IANA zone such as 'Asia/Shanghai'") from cause
    return value


def _tells_a_second(form: str) -> str:
    moment = datetime(2026, 11, 23, 18, 15, 7)  # noqa: DTZ001  # what a recorder shows has no zone
    try:
        is_whole = form.isascii() and datetime.strptime(moment.strftime(form), form) == moment  # noqa: DTZ007
    except ValueError as cause:
        raise ValueError(f"is not a form of a time: {cause}") from cause
    if not is_whole:
        raise ValueError("a form gives year to second, as in '%Y%m%d%H%M%S'")
    return form


Zone = Annotated[str, AfterValidator(_known_zone)]
Width = Annotated[int, Field(ge=1, le=128)]  # bytes: 32 characters take at most 128 in UTF-8


class SerialUsb(Table):
    """The USB identity that the recorder shows while it is locked; both ids are needed, four hexadecimal digits."""

    vendor: UsbId
    product: UsbId


class Line(Table):
    """The settings of the line. `end` closes every text reply; `start` is where one begins after noise."""

    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = 115200
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop: Literal[1, 2] = 1
    flow: Literal["none", "rtscts", "xonxoff"] = "none"
    dtr: bool = True
    end: Annotated[str, Field(pattern=r"^[\x00-\x7f]{1,4}$")] = "\r\n"
    start: Annotated[str, Field(pattern=r"^[\x00-\x7f]{0,4}$")] = ""
    most_bytes: Annotated[int, Field(ge=16, le=4096)] = 512


class Checksum(Table):
    """How messages are checked: over what stands between the first `skip` bytes and `stop_short` bytes before it."""

    kind: Literal["sum8", "xor8", "crc16-modbus", "crc16-xmodem", "crc32"]
    written: Literal["hex", "big", "little"] = "hex"
    skip: Annotated[int, Field(ge=0, le=16)] = 0
    stop_short: Annotated[int, Field(ge=0, le=4)] = 0


class ClockForm(Table):
    """How the recorder writes its clock: the form of `time` (strftime), the zone it shows, and its own step."""

    form: Annotated[str, Field(min_length=2, max_length=40), AfterValidator(_tells_a_second)] = "%Y%m%d%H%M%S"
    zone: Zone = "station"
    resolution_s: Annotated[float, Field(gt=0, le=60)] = 1.0


class OwnerWidths(Table):
    """Bytes of each field of the owner record where the recorder pads it; left out: not padded."""

    serial: Width = 7
    officer_number: Width = 6
    officer_name: Width = 32
    unit_number: Width = 12
    unit_name: Width = 32


class OwnerForm(Table):
    """How texts of the owner record are written."""

    encoding: Literal["ascii", "gbk", "utf-8"] = "gbk"
    widths: OwnerWidths | None = None
    pad: Literal["00", "20", "ff"] = "00"


class Identify(Step):
    """Asks who it is; the serial is what passwords and receipts go by, and a claim all the same."""

    gives: ClassVar[frozenset[str]] = frozenset({"serial", "firmware", "model"})
    needs: ClassVar[frozenset[str]] = frozenset({"serial"})


class Password(Step):
    """Gives the password, once: `tries` can only be 1. `lock_after`: how many wrong ones lock the recorder."""

    sends: ClassVar[frozenset[str]] = frozenset({"password"})
    changes: ClassVar[bool] = True

    tries: Literal[1] = 1
    lock_after: Annotated[int, Field(ge=2, le=100)] = 3
    width: Annotated[int, Field(ge=1, le=64)] | None = None
    pad: Literal["00", "20", "ff"] = "00"


class ReadClock(Step):
    """Asks the time: `time` in the clock's form, or `unix_s`."""

    gives: ClassVar[frozenset[str]] = frozenset({"time", "unix_s"})


class SetClock(Step):
    """Sets the time, once: a second try would set an old time. Only ever sent after the receipt."""

    sends: ClassVar[frozenset[str]] = frozenset({"time", "unix_s", "time_bcd", "unix_big", "unix_little"})
    changes: ClassVar[bool] = True

    tries: Literal[1] = 1


class Battery(Step):
    """Asks for the charge in percent, and where the recorder says it, space in MiB."""

    gives: ClassVar[frozenset[str]] = frozenset({"battery", "free_mib", "capacity_mib"})
    needs: ClassVar[frozenset[str]] = frozenset({"battery"})


class ReadOwner(Step):
    """Asks for the owner record or a part of it."""

    gives: ClassVar[frozenset[str]] = OWNER_FIELDS


class WriteOwner(Step):
    """Writes the whole owner record."""

    sends: ClassVar[frozenset[str]] = OWNER_FIELDS
    changes: ClassVar[bool] = True


class Switch(Step):
    """Tells the recorder to become storage. It may have no reply: many reboot at once."""

    is_answered: ClassVar[bool] = False
    changes: ClassVar[bool] = True


class SerialTable(Table):
    """The exchange of one family of recorders that unlock over a serial line.

    `switch_timeout_s`: how long the storage may take to appear in the same bay. `after_switch`: whether the line is
    still there beside the storage, comes back when the storage is let go, or is gone until the next docking.
    """

    usb: Annotated[tuple[SerialUsb, ...], Field(min_length=1)]
    switch_timeout_s: Annotated[float, Field(ge=1, le=120)] = 20.0
    after_switch: Literal["line_stays", "line_returns", "line_gone"] = "line_gone"
    line: Line = Line()
    checksum: Checksum | None = None
    clock: ClockForm = ClockForm()
    owner: OwnerForm = OwnerForm()
    identify: Identify
    password: Password | None = None
    read_clock: ReadClock | None = None
    set_clock: SetClock | None = None
    battery: Battery | None = None
    read_owner: ReadOwner | None = None
    write_owner: WriteOwner | None = None
    switch: Switch

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes = [mistake for name, step in self.steps() for mistake in self._of_step(name, step)]
        if self.set_clock and not self.read_clock:
            mistakes.append("set_clock needs read_clock: drift is measured before a clock is set")
        if self.write_owner and not self.read_owner:
            mistakes.append("write_owner needs read_owner: what was written is read again")
        if self.after_switch == "line_gone" and (self.set_clock or self.write_owner):
            mistakes.append("set_clock and write_owner come after the receipt, and the line is gone by then")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def knows(self, vendor: str, product: str) -> bool:
        """Whether a locked recorder of this family shows these USB ids (lower case, four digits each)."""
        return any((usb.vendor, usb.product) == (vendor, product) for usb in self.usb)

    def steps(self) -> tuple[tuple[str, Step], ...]:
        """The steps that the profile has, by name."""
        return tuple((name, step) for name in STEPS if isinstance(step := getattr(self, name), Step))

    def _of_step(self, name: str, step: Step) -> list[str]:
        wanted = self.checksum is not None
        mistakes = []
        if ("checksum" in step.placeholders) != wanted:
            mistakes.append(
                f"{name}: {{checksum}} is {'missing from' if wanted else 'unknown in'} what is sent"
            )
        for answer in (step, *step.refusals):
            if answer.is_given and ("checksum" in answer.names) != wanted:
                mistakes.append(f"{name}: a reply {'without' if wanted else 'with'} a checksum")
            if wanted and (answer.width_of("checksum") or self.checksum_bytes) != self.checksum_bytes:
                mistakes.append(f"{name}: the checksum takes {self.checksum_bytes} bytes")
            if answer.size > self.line.most_bytes:
                mistakes.append(f"{name}: a reply is longer than line.most_bytes")
        return mistakes

    @property
    def checksum_bytes(self) -> int:
        """How many bytes the checksum takes in a message."""
        if self.checksum is None:
            return 0
        plain = {"sum8": 1, "xor8": 1, "crc16-modbus": 2, "crc16-xmodem": 2, "crc32": 4}[self.checksum.kind]
        return plain * 2 if self.checksum.written == "hex" else plain


STEPS: dict[str, type[Step]] = {
    "identify": Identify,
    "password": Password,
    "read_clock": ReadClock,
    "set_clock": SetClock,
    "battery": Battery,
    "read_owner": ReadOwner,
    "write_owner": WriteOwner,
    "switch": Switch,
}
NESTED: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (SerialTable, "usb"): SerialUsb,
    (SerialTable, "line"): Line,
    (SerialTable, "checksum"): Checksum,
    (SerialTable, "clock"): ClockForm,
    (SerialTable, "owner"): OwnerForm,
    (OwnerForm, "widths"): OwnerWidths,
    **{(SerialTable, name): step for name, step in STEPS.items()},
    **{(step, "reply_fields"): ReplyField for step in STEPS.values()},
    **{(step, "refusals"): Refusal for step in STEPS.values()},
    (Refusal, "reply_fields"): ReplyField,
}  # the table under each key, for the profile reader's list of allowed keys
