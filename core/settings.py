"""Settings: one TOML file, read once, checked whole.

All mistakes are reported together, each with the key's full name; an unknown key is a mistake, because a
misspelt setting that is silently ignored is a station that does something else than it was told.
"""

from __future__ import annotations

import os
import tomllib
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import Exit, SealdockError

MEBIBYTE = 1024 * 1024
SOCKET_PATH_LIMIT = 107  # bytes: sun_path has 108 with its closing zero (unix(7))
LONGEST_SOCKET = "console.sock"  # of all <process>.sock and <process>.bell in the run directory


class SettingsError(SealdockError):
    """The settings file cannot be used."""

    code = "core.settings"
    sentence = (
        "The settings file {path} cannot be used:\n{mistakes}\nNothing was started; mend it and try again."
    )
    exit_code = Exit.WRONG_USE


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StationSettings(_Section):
    """Who this station is."""

    name: str = "station"
    bureau: str = ""
    timezone: str = "Asia/Shanghai"
    locale: str = "zh_CN"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, OSError) as cause:
            raise ValueError(f"there is no time zone {value!r} on this machine") from cause
        return value


class BaySettings(_Section):
    """One bay: its number on the case and the USB topology path that udev calls ID_PATH."""

    number: Annotated[int, Field(ge=1, le=99)]
    path: str
    also: tuple[str, ...] = ()  # the same socket's path at another speed


class LightSettings(_Section):
    """Bay lights: the board alone (`screen`), or also a lamp on a GPIO line for each bay."""

    driver: Literal["screen", "gpio"] = "screen"
    chip: Path = Path("/dev/gpiochip0")
    active_low: bool = False
    lines: dict[int, int] = {}  # bay number: the line of the chip that its lamp hangs on

    @model_validator(mode="after")
    def _a_line_for_each_lamp(self) -> Self:
        if self.driver == "gpio" and not self.lines:
            raise ValueError('driver = "gpio" needs [dock.lights.lines]: bay = line')
        if len(set(self.lines.values())) != len(self.lines) or any(line < 0 for line in self.lines.values()):
            raise ValueError("each bay needs a line of its own, 0 or above")
        return self


class EraseSettings(_Section):
    """What becomes of footage on a recorder once it is sealed (docs/operations/erase.md)."""

    policy: Literal["keep", "erase"] = "keep"
    grace_days: Annotated[int, Field(ge=0, le=3650)] = 30  # a file stays at least so long after its sealing
    replicated: bool = True  # only what was proven in fixity.second_copy
    witnessed: bool = True  # only what a time stamp or cosignature from outside covers


class DockSettings(_Section):
    """The dock: bays, where udev mounts cards, and the directory that emulated recorders are plugged into."""

    bays: tuple[BaySettings, ...] = ()
    mounts: Path = Path("/run/sealdock/mounts")
    emulation: Path | None = None
    profiles: Path | None = None  # site overrides beside the shipped profiles
    buffers_mib: Annotated[int, Field(ge=8, le=1024)] = 64  # a recorder being copied takes 3.6 MiB of it
    passwords: Path | None = None  # the store of recorders' passwords (docs/operations/serial.md)
    attempts: Path | None = (
        None  # wrong passwords, noted so that no recorder is ever locked; default: in `state`
    )
    unregistered: Literal["ask", "take"] = "ask"  # what becomes of a recorder that the register does not have
    night_from: time = time(22)  # in these hours the board is dark and silent
    night_until: time = time(6)
    lights: LightSettings = LightSettings()
    erase: EraseSettings = EraseSettings()

    @model_validator(mode="after")
    def _lamps_have_bays(self) -> Self:
        strangers = sorted(self.lights.lines.keys() - {bay.number for bay in self.bays})
        if strangers:
            raise ValueError(f"lights.lines names bays that are not mapped: {strangers}")
        return self

    @model_validator(mode="after")
    def _bays_are_distinct(self) -> Self:
        paths = [path for bay in self.bays for path in (bay.path, *bay.also)]
        for what, values in (("number", [bay.number for bay in self.bays]), ("path", paths)):
            if len(set(values)) != len(values):
                raise ValueError(f"two bays have the same {what}")
        return self


class MediaSettings(_Section):
    """Limits of the sandbox that media tools run in."""

    memory_mib: Annotated[int, Field(ge=256)] = 2048
    index_seconds: Annotated[int, Field(ge=10)] = 600
    proxy_seconds: Annotated[int, Field(ge=60)] = 6 * 3600
    output_mib: Annotated[int, Field(ge=16)] = 16 * 1024


class ConsoleSettings(_Section):
    """The web console. Beyond loopback it needs a certificate."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8443
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    certificate: Path | None = None
    private_key: Path | None = None

    @model_validator(mode="after")
    def _tls_beyond_loopback(self) -> Self:
        if self.host not in {"127.0.0.1", "::1", "localhost"} and not (self.certificate and self.private_key):
            raise ValueError("certificate and private_key are needed to listen beyond loopback")
        return self


class RootKind(StrEnum):
    """Where the root identity is kept."""

    PASSPHRASE = "passphrase"  # noqa: S105  # the name of a way, not a secret
    CREDENTIAL = "credential"
    PKCS11 = "pkcs11"
    TPM2 = "tpm2"


class KeydSettings(_Section):
    """Where the key process finds the root identity (docs/operations/keys.md)."""

    root: RootKind = RootKind.PASSPHRASE
    pkcs11_module: Path | None = None
    pkcs11_token: str | None = None


class AuthoritySettings(_Section):
    """A time-stamping authority (RFC 3161): where it answers, and the certificates that its answers lead to."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    url: str | None = None  # none: requests and answers are carried by hand
    roots: Path


class WitnessSettings(_Section):
    """A witness that cosigns this log's checkpoints (c2sp.org/tlog-witness)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    url: str | None = None  # none: checkpoints and cosignatures are carried by hand
    vkey: str
    roots: Path | None = None  # certificates that its TLS must lead to; none: those of the machine


class AnchorSettings(_Section):
    """Evidence from outside: who stamps and cosigns this log, and which logs this station witnesses."""

    interval_minutes: Annotated[int, Field(ge=1, le=10080)] = 60
    sm2: bool = False  # also an SM2/SM3 line on every anchored checkpoint
    authorities: tuple[AuthoritySettings, ...] = ()
    witnesses: tuple[WitnessSettings, ...] = ()
    witness_for: tuple[str, ...] = ()  # vkeys of the logs that this station cosigns
    listen: str | None = None  # host:port of the witness; none: only by files
    certificate: Path | None = None
    private_key: Path | None = None


class FixitySettings(_Section):
    """The standing check of sealed objects, and the second copy that mends them."""

    budget_mib_s: Annotated[float, Field(gt=0)] = 20.0
    days: Annotated[int, Field(ge=1)] = 90  # every object is proven at least this often
    second_copy: Path | None = None  # a backup of this vault (docs/operations/backup.md)
    reserve_mib: Annotated[int, Field(ge=64)] = 1024  # room that no copy may use up


class SealerSettings(_Section):
    """Whether sealed files are made immutable (chattr +i); then only a logged disposal takes one away."""

    immutable: bool = False


class Settings(_Section):
    """Everything a process needs to know; every path is absolute after loading."""

    vault: Path
    state: Path
    keys: Path
    database: str | None = None
    inbox: Path | None = None
    station: StationSettings = StationSettings()
    dock: DockSettings = DockSettings()
    media: MediaSettings = MediaSettings()
    console: ConsoleSettings = ConsoleSettings()
    keyd: KeydSettings = KeydSettings()
    anchor: AnchorSettings = AnchorSettings()
    fixity: FixitySettings = FixitySettings()
    sealer: SealerSettings = SealerSettings()

    @model_validator(mode="after")
    def _a_copy_to_prove(self) -> Self:
        erase = self.dock.erase
        if erase.policy == "erase" and erase.replicated and self.fixity.second_copy is None:
            raise ValueError("dock.erase.replicated needs fixity.second_copy; nothing would ever be erased")
        return self

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL; SQLite in the state directory unless another is named."""
        return self.database or f"sqlite:///{self.state / 'sealdock.db'}"

    @property
    def run(self) -> Path:
        """Sockets and the dock's status: gone after a restart, and that is right."""
        return self.state / "run"

    @property
    def derived(self) -> Path:
        """Derivatives: encrypted, made again when lost."""
        return self.state / "derived"


def load(path: Path) -> Settings:
    """Read and check the file; relative paths are taken from where the file lies. Raises SettingsError."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        settings = Settings.model_validate(raw)
    except ValidationError as cause:
        mistakes = "\n".join(f"  {'.'.join(map(str, e['loc'])) or 'file'}: {_say(e)}" for e in cause.errors())
        raise SettingsError(path=path, mistakes=mistakes) from cause
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise SettingsError(path=path, mistakes=f"  {cause}") from cause
    settings = _absolute(settings, path.resolve().parent)
    _check_sockets(settings, path)
    return settings


def _check_sockets(settings: Settings, path: Path) -> None:
    """The kernel takes no longer path for a socket, and would say so only when a process is started."""
    length = len(os.fsencode(settings.run / LONGEST_SOCKET))
    if length > SOCKET_PATH_LIMIT:
        most = SOCKET_PATH_LIMIT - (length - len(os.fsencode(settings.state)))
        mistake = (
            f"  state: the directory's name is too long for sockets in it; it may have {most} bytes at most"
        )
        raise SettingsError(path=path, mistakes=mistake)


def _say(mistake: object) -> str:
    kind, message = mistake["type"], mistake["msg"]  # type: ignore[index]
    return "there is no such setting" if kind == "extra_forbidden" else str(message)


def _absolute(settings: Settings, base: Path) -> Settings:
    """The same settings with every path taken from `base`."""
    paths = {name: _from_base(getattr(settings, name), base) for name in type(settings).model_fields}
    return settings.model_copy(update=paths)


def _from_base(value: object, base: Path) -> object:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, tuple):
        return tuple(_from_base(item, base) for item in value)
    if isinstance(value, _Section):
        update = {name: _from_base(getattr(value, name), base) for name in type(value).model_fields}
        return value.model_copy(update=update)
    return value
