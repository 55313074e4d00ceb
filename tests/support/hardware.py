"""A PKCS#11 token and a TPM 2 made of software: SoftHSM2 and swtpm, as Debian ships them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = b"482913"
_SO_PIN = "99887766"
_STARTS_WITHIN_S = 20.0


def make_token(label: str) -> None:
    """A fresh token; SOFTHSM2_CONF must name the configuration already."""
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN.decode(), "--so-pin", _SO_PIN],
        check=True, capture_output=True,
    )  # fmt: skip


def configure_tokens(place: Path) -> Path:
    """A directory for tokens and the configuration that names it."""
    (place / "tokens").mkdir(parents=True)
    configuration = place / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {place / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    return configuration


@dataclass
class SoftTpm:
    """A running swtpm; `tcti` is what the tools are told in TPM2TOOLS_TCTI."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    @classmethod
    def start(cls, state: Path) -> SoftTpm:
        state.mkdir(parents=True, exist_ok=True)
        port = _free_pair()
        argv = [
            "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
            "--server", f"type=tcp,port={port},bindaddr=127.0.0.1",
            "--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1", "--flags", "not-need-init,startup-clear",
        ]  # fmt: skip
        tpm = cls(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), port)
        tpm._wait()
        return tpm

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        """Until the control channel listens; asking the other one would take its only connection."""
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port + 1), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("swtpm did not start")


def _free_pair() -> int:
    """A port that is free with the one after it; the tools take the second for the control channel."""
    for _ in range(200):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise OSError(os.strerror(98))
