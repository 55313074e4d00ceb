"""A serial recorder behind a USB serial converter of the machine: the emulated one, on a socket of the host."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Self

from emulation.serial_recorder import Brain, Nature, Talk

LOOK_S = 0.1


class LineRecorder:
    """Serves one station after the other; `brain` keeps what it was told."""

    def __init__(self, path: Path, nature: Nature) -> None:
        self.path, self.brain = path, Brain(nature)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="line-recorder")
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen(1)
        self._listener.settimeout(LOOK_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        self._listener.close()

    def heard(self, beginning: bytes) -> int:
        """How many requests began like this."""
        return sum(line.startswith(beginning) for line in self.brain.heard)

    def _serve(self) -> None:
        while not self._leaving.is_set():
            try:
                peer, _ = self._listener.accept()
            except TimeoutError:
                continue
            with peer:
                peer.setblocking(False)
                Talk(self.brain, peer.fileno(), self._leaving).run()
