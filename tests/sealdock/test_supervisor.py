from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sealdock.supervisor import Supervisor
from sealdock.wiring import Station
from vault.founding import initialise

PASSPHRASE = b"a passphrase for one test"


@pytest.fixture
def settings_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault in a directory with a short name, because sockets live below it."""
    home = tmp_path_factory.mktemp("s")
    initialise(home / "vault", home / "keys", PASSPHRASE)
    path = home / "sealdock.toml"
    path.write_text('vault = "vault"\nstate = "state"\nkeys = "keys"\n')
    return path


def eventually(fact: Callable[[], object], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)


def test_a_killed_process_is_started_again_and_all_stop_when_told(
    settings_path: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    logs = tmp_path / "logs"
    logs.mkdir()
    supervisor = Supervisor(settings_path, ("keyd",), log_directory=logs)
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        socket = Station.load(settings_path).socket("keyd")
        eventually(socket.exists)
        first = supervisor.pid("keyd")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: supervisor.pid("keyd") not in {None, first})
        second = supervisor.pid("keyd")
        assert second is not None
    finally:
        stop.set()
        thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_process_that_cannot_start_is_not_tried_in_a_spin(settings_path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    supervisor = Supervisor(
        settings_path, ("worker",), log_directory=tmp_path
    )  # no schema: it refuses to start
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    eventually(
        lambda: (tmp_path / "worker.log").exists() and "db upgrade" in (tmp_path / "worker.log").read_text()
    )
    stop.wait(3)
    stop.set()
    thread.join()
    assert (tmp_path / "worker.log").read_text().count("db upgrade") <= 3
