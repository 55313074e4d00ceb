"""keyd beside a house, unlocked with the recovery identity, which costs no second of scrypt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from crash.house import House
from support.root import opener

from vault.keyd import Keyd
from vault.keyd_client import KeydClient


@contextmanager
def reading(house: House) -> Iterator[Keyd]:
    path = house.directory / "keyd.sock"
    keyd, stop = Keyd(house.vault, opener(house.vault, house.keys), path), Event()
    keyd.adopt(house.keyring)
    thread = Thread(target=keyd.run, args=(stop,))
    thread.start()
    while not path.exists():
        stop.wait(0.001)
    try:
        yield keyd
    finally:
        stop.set()
        thread.join()


def client(house: House, process: str) -> KeydClient:
    return KeydClient(house.directory / "keyd.sock", house.key(process))
