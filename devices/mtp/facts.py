"""What an opened device says of itself, checked: every number in its range, every text short. All of it is a claim."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from devices.mtp.wire import Message, WireError, number, octets
from devices.name import is_safe_part, show

MOST_STORAGES = 16  # a telephone has two, a camera two
MOST_TEXT = 128  # characters of a name that is shown: model, firmware, storage
MOST_BYTES = 1 << 60  # of a storage or a file: no recorder has more, and a hostile number is not believed
WORD = 0xFFFFFFFF  # handles and storages are 32 bits (PTP, 5.3.2)
UNKNOWN_SIZE = 0xFFFFFFFF  # PTP's size of an object of 4 GiB or more; MTP's own property says how many
HUNDRED = 100  # percent


@dataclass(frozen=True)
class Storage:
    """One storage. `name` is a single safe step of a path, unlike any other storage's; sizes that are odd are None."""

    id: int
    name: bytes
    capacity: int | None
    free: int | None


@dataclass(frozen=True)
class Item:
    """One object in a folder. `modified_at` is None when the device does not say or no calendar has it."""

    handle: int
    name: bytes
    size: int
    modified_at: datetime | None
    is_folder: bool


@dataclass(frozen=True)
class Facts:
    """The device. `reads_parts`: it gives pieces of a file, not only whole ones."""

    manufacturer: str
    model: str
    serial: str
    version: str
    battery_percent: int | None
    reads_parts: bool
    storages: tuple[Storage, ...]

    def is_same_device(self, other: Facts) -> bool:
        """Whether all that does not change while a device is docked is equal."""
        return self._lasting() == other._lasting()

    @property
    def shown(self) -> str:
        """Maker, model and serial."""
        return " ".join(part for part in (self.manufacturer, self.model, self.serial) if part)

    def _lasting(self) -> tuple[object, ...]:
        storages = tuple((one.id, one.name, one.capacity) for one in self.storages)
        return self.manufacturer, self.model, self.serial, self.version, storages


def facts_of(message: Message) -> Facts:
    """Read the answer to `open`. Raises WireError."""
    texts = message.get("texts")
    if not isinstance(texts, list) or len(texts) != 4:  # noqa: PLR2004  # the four below
        raise WireError("'texts' is no list of four")
    manufacturer, model, serial, version = (_label(text) for text in texts)
    return Facts(
        manufacturer, model, serial, version,
        _battery(message.get("battery")), message.get("parts") is True, _storages(message.get("storages")),
    )  # fmt: skip


def items_of(message: Message) -> list[Item]:
    """Read one answer to `list`. Raises WireError."""
    rows = message.get("items")
    if not isinstance(rows, list):
        raise WireError("'items' is no list")
    return [_item(row) for row in rows]


def _item(row: object) -> Item:
    handle, name, size, modified_s, is_folder = _row(row, 5)
    fields = {"handle": handle, "size": size}
    return Item(
        number(fields, "handle", WORD), octets(name), number(fields, "size", MOST_BYTES), _moment(modified_s),
        is_folder is True,
    )  # fmt: skip


def _storages(rows: object) -> tuple[Storage, ...]:
    if not isinstance(rows, list) or len(rows) > MOST_STORAGES:
        raise WireError("'storages' is no list, or too long")
    found: list[Storage] = []
    for row in rows:
        identifier, name, capacity, free = _row(row, 4)
        storage_id = number({"id": identifier}, "id", WORD)
        chosen = _storage_name(octets(name), storage_id, {one.name for one in found})
        found.append(Storage(storage_id, chosen, _bytes(capacity, MOST_BYTES), _bytes(free, capacity)))
    return tuple(sorted(found, key=lambda one: one.id))


def _storage_name(said: bytes, storage_id: int, taken: set[bytes]) -> bytes:
    """Its own name where that can be the first part of a path and no other storage has it; else its number."""
    if is_safe_part(said) and len(said) <= MOST_TEXT and said not in taken:
        return said
    return f"storage-{storage_id:08x}".encode()


def _bytes(value: object, most: object) -> int | None:
    """A size of a storage; None for what no storage has (more free than there is: seen in the lab)."""
    return value if type(value) is int and type(most) is int and 0 <= value <= most else None


def _battery(value: object) -> int | None:
    """Percent from a level and its most; None for anything odd."""
    match value:
        case [int(level), int(most)] if 0 <= level <= most and most > 0:
            return round(HUNDRED * level / most)
    return None


def _label(text: object) -> str:
    return show(octets(text).strip())[:MOST_TEXT]


def _row(row: object, length: int) -> list[object]:
    if not isinstance(row, list) or len(row) != length:
        raise WireError(f"a row has not {length} fields")
    return row


def _moment(seconds: object) -> datetime | None:
    if type(seconds) is not int or seconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
