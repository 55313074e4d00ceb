"""The station's own console in the guest, and its dock board in a Chromium of this side.

The console listens with TLS on the guest's only address; a port of 127.0.0.1 leads there. Invariant: nothing else of
the guest can be reached, and the guest reaches nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, Page
from vm.station import Station

from core.clock import utc_now

ADDRESS, PORT = "10.0.2.15", 8443  # QEMU's user network gives the first guest this one
TOUCH_SCREEN = {"width": 1024, "height": 600}  # seven inches
CONSOLE = (
    f'[console]\nhost = "{ADDRESS}"\ncertificate = "/data/console.crt"\nprivate_key = "/data/console.key"\n'
)
SLOW_MS = 60_000  # a page of an emulated machine whose processors are copying


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def open_console(station: Station) -> None:
    """Address, certificate and settings, then the console; awaited until it listens."""
    run = station.machine.guest.run
    certificate, key = _certificate()
    run("cat >/data/console.crt", stdin=certificate)
    run("umask 077; cat >/data/console.key", stdin=key)
    run("cat >>/data/sealdock.toml", stdin=f"\n{CONSOLE}".encode())
    run(f"ip link set lo up; ip address add {ADDRESS}/24 dev eth0; ip link set eth0 up")
    station.launch("console")
    listening = f"grep -q ':{PORT:04X} 00000000:0000 0A' /proc/net/tcp"
    station.machine.guest.until(f"{listening} || test -e /run/console.code", within_s=90)
    run(f"{listening} || {{ cat /run/console.out; false; }}")


@contextmanager
def boards(browser: Browser, port: int, *languages: str) -> Iterator[dict[str, Page]]:
    """The board behind `port` of this machine, in a page for each language; the script errors of none are allowed."""
    complaints: list[str] = []
    pages = {}
    for language in languages:
        context = browser.new_context(
            base_url=f"https://127.0.0.1:{port}", locale=language, viewport=TOUCH_SCREEN,
            ignore_https_errors=True, timezone_id="Asia/Shanghai",
        )  # fmt: skip
        page = pages[language] = context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/dock", wait_until="load")
    yield pages
    for page in pages.values():
        page.context.close()
    assert complaints == []


def picture(page: Page, directory: Path | None, name: str) -> None:
    """Keep what the page looks like, where somebody asked for it."""
    if directory is not None:
        page.screenshot(path=directory / f"{name}.png", timeout=SLOW_MS)


def _certificate() -> tuple[bytes, bytes]:
    """A certificate of the console for an hour, and its key (PEM)."""
    key, name = generate_private_key(SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1)).not_valid_after(utc_now() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.public_bytes(Encoding.PEM), private
