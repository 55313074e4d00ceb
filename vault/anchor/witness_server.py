"""The witness over HTTP (c2sp.org/tlog-witness): `POST /add-checkpoint` and `GET /<origin hash>/checkpoint`.

Invariants: a request body has a limit, a connection a life of a minute, and the number of connections a ceiling: no
stranger costs more than that; what a stranger sends ends in a status, never in a traceback.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, ClassVar, Self

from core import log
from core.errors import Exit
from vault.anchor.add_checkpoint import REQUEST_LIMIT
from vault.anchor.witness import OtherSizeError, Witness, WitnessError
from vault.error import VaultError

_LOG = log.get("vault.witness")
CONNECTIONS = 16
WAIT_S = 20.0  # for the next bytes of a request
LIFE_S = 60.0  # of a connection, however busily it drips
STOP_LOOK_S = 0.1  # how soon it notices that it is to stop
_HASH_DIGITS = 64
_LENGTH_DIGITS = len(str(REQUEST_LIMIT))  # zeros before a number are digits as well


class ListenError(VaultError):
    """An address on which no witness can listen."""

    code = "vault.witness_listen"
    sentence = (
        "The witness cannot listen at {listen} ({why}). Nothing was started; mend `anchor.listen` and the certificate "
        "in the settings."
    )
    exit_code = Exit.WRONG_USE


class WitnessServer:
    """Serves a witness while its context is open. Beyond loopback it wants a certificate."""

    def __init__(
        self, witness: Witness, listen: str, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        """Raises ListenError."""
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isdigit():
            raise ListenError(listen=listen, why="it is not host:port")
        if certificate is None and host not in {"127.0.0.1", "::1", "localhost"}:
            raise ListenError(listen=listen, why="beyond loopback it needs a certificate and its key")
        try:
            context = _tls(certificate, private_key) if certificate else None
            self._server = _Server((host, int(port)), witness)
        except (OSError, OverflowError) as cause:  # SSLError is one
            raise ListenError(listen=listen, why=str(cause)) from cause
        if (
            context is not None
        ):  # the handshake is the connection's own thread's, so that nobody holds up the others
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def port(self) -> int:
        """Where it listens; the kernel's choice when 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread = Thread(
            target=self._server.serve_forever, args=(STOP_LOOK_S,), name="witness", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * CONNECTIONS
    block_on_close = False  # a stranger that holds a connection open must not hold up the end

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self.witness, self._room = witness, BoundedSemaphore(CONNECTIONS)
        super().__init__(address, _Desk)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)  # too many at once: they ask again
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = Timer(LIFE_S, _cut, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  the base's signature
        """A connection that broke: nobody's error but the stranger's, and told shortly."""
        _LOG.warning("a connection to the witness broke", peer=str(client_address))


class _Desk(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "sealdock-witness", ""
    timeout: ClassVar[float] = WAIT_S

    def do_POST(self) -> None:
        """add-checkpoint."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            self._say(404, b"there is nothing here\n", close=True)
        elif not (length.isascii() and length.isdigit()):
            self._say(411, b"say how long the request is\n", close=True)
        elif len(length) > _LENGTH_DIGITS or int(length) > REQUEST_LIMIT:
            self._say(413, b"the request is too long\n", close=True)
        else:
            self._say(*self._cosigned(self.rfile.read(int(length))))

    def do_GET(self) -> None:
        """The last cosigned checkpoint of a log."""
        origin_hash, _, rest = self.path.removeprefix("/").partition("/")
        hexadecimal = len(origin_hash) == _HASH_DIGITS and not set(origin_hash) - set("0123456789abcdef")
        note = self.server.witness.latest(origin_hash) if hexadecimal and rest == "checkpoint" else None
        if note is None:
            self._say(404, b"no checkpoint of this log was cosigned here\n")
        else:
            self._say(200, note)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's signature
        """Who asked, in our own log."""
        _LOG.debug("witness", peer=self.client_address[0], said=format % args)

    def _cosigned(self, body: bytes) -> tuple[int, bytes, str]:
        try:
            return 200, self.server.witness.add_checkpoint(body), "text/plain; charset=utf-8"
        except OtherSizeError as refusal:
            return refusal.status, f"{refusal.size}\n".encode(), "text/x.tlog.size"
        except WitnessError as refusal:
            return refusal.status, f"{refusal}\n".encode(), "text/plain; charset=utf-8"
        except (VaultError, OSError) as cause:  # its own record or disk, and nothing the stranger did
            _LOG.critical("the witness cannot cosign", why=str(cause))
            return 500, b"the witness cannot cosign now; its owner was told\n", "text/plain; charset=utf-8"

    def _say(
        self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8", *, close: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if close:  # what follows of the request was not read and must not pass for the next one
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)


def _cut(request: socket) -> None:
    with suppress(OSError):  # it has ended by itself
        request.shutdown(SHUT_RDWR)


def _tls(certificate: Path, private_key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key)
    return context
