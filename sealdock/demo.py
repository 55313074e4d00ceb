"""The demo: a whole station on this machine, with a small bureau and two emulated recorders that dock.

A third one is in no register, so its bay asks an officer, and nothing is copied before the answer.

Everything is the real thing: the five processes, the vault, the keys, the cards (exFAT images where this machine
can mount them), footage that is encoded on the spot. Only the recorders are made of files. The passphrase and the
passwords lie readable in the demo's directory, which a real station never does.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import randbelow, token_hex, token_urlsafe
from typing import NamedTuple
from zoneinfo import ZoneInfo

from core.durable import create_once, make_directory
from core.errors import SealdockError
from devices.emulation import plug_in
from ingest.status import DockStatus, TileState, read_status
from sealdock import bureau, schema
from sealdock.card import make_card
from sealdock.footage import Codec, Scene, Shot, audio_note, photo, video
from sealdock.supervisor import Supervisor
from sealdock.wiring import Station
from vault.founding import initialise

ZONE = ZoneInfo("Asia/Shanghai")
CARD_BYTES_PER_SECOND = 500_000  # slow enough that a person sees the bays at work
DOCKED_WITHIN_S = 180
NEEDS_A_PERSON = {TileState.FAULT, TileState.UNKNOWN, TileState.PARTIAL}
SETTINGS = """\
# The demo's station. A real one lies in /etc/sealdock/sealdock.toml (docs/operations/install.md).
vault = "vault"
state = "state"
keys = "keys"
inbox = "inbox"

[station]
name = "demo"
bureau = "演示县应急管理局"

[dock]
emulation = "bays"
mounts = "state/mounts"
bays = [
  {{ number = 1, path = "pci-0000:00:14.0-usb-0:1" }},
  {{ number = 2, path = "pci-0000:00:14.0-usb-0:2" }},
  {{ number = 3, path = "pci-0000:00:14.0-usb-0:3" }},
  {{ number = 4, path = "pci-0000:00:14.0-usb-0:4" }},
]

[console]
port = {port}
"""

Say = Callable[[str], None]


class DemoError(SealdockError):
    """The demo did not get where it should."""

    code = "sealdock.demo"
    sentence = "The demo stopped: {why}. The logs of its processes are in {logs}."


class Clip(NamedTuple):
    """One file on a demo card."""

    suffix: str
    make: Callable[[Shot], bytes]
    scene: Scene
    codec: Codec
    seconds: int


CARDS = (
    (
        Clip("mp4", video, Scene.STREET, Codec.H264, 12),
        Clip("jpg", photo, Scene.STREET, Codec.H264, 1),
        Clip("wav", audio_note, Scene.STREET, Codec.H264, 8),
    ),
    (
        Clip("mp4", video, Scene.WAREHOUSE, Codec.HEVC, 8),
        Clip("mp4", video, Scene.WAREHOUSE, Codec.H264, 10),
    ),
)
UNREGISTERED_CARD = (Clip("jpg", photo, Scene.WAREHOUSE, Codec.H264, 1),)


@dataclass(frozen=True)
class Demo:
    """The demo in one directory; made once, run as often as one likes."""

    directory: Path
    say: Say

    @property
    def settings_path(self) -> Path:
        """Its settings file."""
        return self.directory / "sealdock.toml"

    @property
    def credentials(self) -> Path:
        """Where the key process finds the passphrase, as it would under systemd."""
        return self.directory / "credentials"

    @property
    def state(self) -> Path:
        """The station's state directory."""
        return self.directory / "state"

    @property
    def logs(self) -> Path:
        """What its processes said."""
        return self.directory / "logs"

    @property
    def cards(self) -> Path:
        """The emulated recorders' memory."""
        return self.directory / "cards"

    @property
    def password(self) -> str:
        """The password of every demo account."""
        return (self.credentials / "console-password").read_text(encoding="ascii")

    @property
    def pin(self) -> str:
        """The PIN of every demo officer."""
        return (self.credentials / "officer-pin").read_text(encoding="ascii")

    def prepare(self) -> Station:
        """Make vault, keys, database and bureau the first time; open them every time."""
        if not self.settings_path.exists():
            self._found()
        station = Station.load(self.settings_path)
        schema.upgrade(station.db)
        bureau.found(station.db, station.submitter("console"), self.password, self.pin)
        return station

    def start(self, stop: threading.Event) -> threading.Thread:
        """Run the station's processes until `stop`; the thread ends when all of them have."""
        supervisor = Supervisor(self.settings_path, log_directory=self.logs, credentials=self.credentials)
        thread = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
        thread.start()
        return thread

    def fill_cards(self, stop: threading.Event) -> None:
        """Encode the footage once; each card becomes an exFAT image, or stays a folder where it cannot."""
        began = time.monotonic()
        for number, (officer, clips) in enumerate(zip(bureau.OFFICERS, CARDS, strict=True), start=1):
            folder = self.cards / f"card-{number}"
            if folder.exists() or stop.is_set():
                continue
            forming = self.cards / f".card-{number}.{token_hex(4)}"
            _film(forming, officer, clips, self.say)
            if not make_card(self.cards / f"card-{number}.img", forming, f"DSJ{number}"):
                self.say("This machine cannot mount exFAT: the recorders are read as plain folders instead.")
            forming.rename(folder)
        self.say(f"Recorders ready after {time.monotonic() - began:.0f} s.")

    def plug(self) -> None:
        """Put both recorders into their bays."""
        for number, officer in enumerate(bureau.OFFICERS, start=1):
            self._plug(number, officer, self.cards / f"card-{number}")

    def plug_unregistered(self) -> None:
        """Put a recorder that is in no register into the next bay: it asks whether it holds duty footage."""
        folder = self.cards / "unregistered"
        if not folder.exists():
            _film(folder, bureau.UNREGISTERED, UNREGISTERED_CARD, self.say)
        self._plug(len(CARDS) + 1, bureau.UNREGISTERED, folder)

    def _plug(self, number: int, officer: bureau.DemoOfficer, folder: Path) -> None:
        image = folder.with_suffix(".img")
        place = {"image": str(image)} if image.exists() else {"directory": str(folder)}
        claim = {
            "id_path": f"pci-0000:00:14.0-usb-0:{number}", "serial": officer.recorder_serial, "vendor": "DSJ",
            "product": "DSJ-X1", "bytes_per_second": CARD_BYTES_PER_SECOND, **place,
        }  # fmt: skip
        plug_in(self.directory / "bays" / f"bay-{number}.json", json.dumps(claim))

    def pull(self) -> None:
        """Take the recorders out."""
        for control in (self.directory / "bays").glob("*.json"):
            control.unlink()

    def _found(self) -> None:
        self.say(f"Making the demo bureau in {self.directory}")
        for place in (self.directory, self.credentials, self.logs, self.cards, self.directory / "bays"):
            make_directory(place)
        make_directory(self.directory / "inbox")
        passphrase = token_urlsafe(18).encode()
        create_once(self.credentials / "root-passphrase", passphrase, 0o400)
        create_once(self.credentials / "console-password", f"demo-{token_hex(4)}".encode(), 0o400)
        create_once(self.credentials / "officer-pin", f"47{randbelow(10_000):04}".encode(), 0o400)
        founded = initialise(self.directory / "vault", self.directory / "keys", passphrase)
        create_once(self.credentials / "recovery.key", f"{founded.recovery_identity}\n".encode(), 0o400)
        create_once(self.credentials / "log.vkey", f"{founded.vkey}\n".encode())
        create_once(self.settings_path, SETTINGS.format(port=_free_port()).encode())


def wait_docked(demo: Demo, show: Callable[[DockStatus], None], stop: threading.Event) -> None:
    """Wait until both bays say that the recorder may be taken, or `stop`. Raises DemoError."""
    deadline = time.monotonic() + DOCKED_WITHIN_S
    while time.monotonic() < deadline and not stop.wait(0.25):
        status = read_status(demo.state / "run" / "dock.json")
        show(status)
        states = [bay.state for bay in status.bays[: len(CARDS)]]
        if len(states) == len(CARDS) and all(state is TileState.SEALED for state in states):
            return
        if stuck := [state for state in states if state in NEEDS_A_PERSON]:
            raise DemoError(why=f"a bay says '{stuck[0]}'", logs=demo.logs)
    if not stop.is_set():
        raise DemoError(why=f"the recorders were not sealed within {DOCKED_WITHIN_S} s", logs=demo.logs)


def _film(folder: Path, officer: bureau.DemoOfficer, clips: tuple[Clip, ...], say: Say) -> None:
    started = datetime.now(ZONE).replace(microsecond=0) - timedelta(hours=3)
    for part, clip in enumerate(clips, start=1):
        shot = Shot(
            officer_number=officer.number, recorder_serial=officer.recorder_serial, started_at=started,
            seconds=clip.seconds, scene=clip.scene, codec=clip.codec,
        )  # fmt: skip
        day = folder / f"{started:%Y%m%d}"
        day.mkdir(parents=True, exist_ok=True)
        name = f"{officer.recorder_serial}{officer.number}_{started:%Y%m%d%H%M%S}_{part:04}.{clip.suffix}"
        say(f"  encoding {name} ({clip.codec if clip.suffix == 'mp4' else clip.suffix})")
        (day / name).write_bytes(clip.make(shot))
        started += timedelta(minutes=11)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
