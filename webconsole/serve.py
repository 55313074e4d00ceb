"""The console's server: gunicorn, one process, many threads.

One process, because file keys live in its memory for some minutes and must be forgotten everywhere at once;
many threads, because streaming releases the interpreter lock (webconsole.worker bounds how long one may wait).
Plain HTTP exists on loopback only; beyond it TLS 1.2 or newer. SIGTERM lets running answers end (ten seconds),
then closes.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config

from core.settings import ConsoleSettings
from webconsole import housekeeping
from webconsole.app import create_app
from webconsole.context import ConsoleContext

GRACE_S = 10
KEEP_ALIVE_S = 30  # a player's next range request finds its connection open
HUNG_AFTER_S = 60  # the arbiter ends a worker that stopped answering it
LONGEST_LINE = 4094  # bytes of a request line
MOST_HEADERS = 64
LONGEST_HEADER = 8190


class ConsoleServer(BaseApplication):  # type: ignore[misc]  # the library has no types
    """Our application under gunicorn."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        super().__init__()

    def load_config(self) -> None:
        """Every setting that differs from gunicorn's own."""
        for name, value in options(self._context.settings.console).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in the worker; database connections made before the fork are left to the parent."""
        self._context.db.engine.dispose(close=False)
        housekeeping.start(self._context, threading.Event())
        return create_app(self._context)


def serve(context: ConsoleContext) -> None:
    """Answer until SIGTERM or SIGINT; ends the process."""
    ConsoleServer(context).run()


def options(settings: ConsoleSettings) -> dict[str, Any]:
    """Our settings in the words of gunicorn."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    chosen: dict[str, Any] = {
        "bind": f"{host}:{settings.port}",
        "workers": 1,
        "worker_class": "webconsole.worker.ConsoleWorker",
        "threads": settings.threads,
        "timeout": HUNG_AFTER_S,
        "graceful_timeout": GRACE_S,
        "keepalive": KEEP_ALIVE_S,
        "limit_request_line": LONGEST_LINE,
        "limit_request_fields": MOST_HEADERS,
        "limit_request_field_size": LONGEST_HEADER,
        "forwarded_allow_ips": "",
        "accesslog": None,
        "loglevel": "warning",
        "control_socket_disable": True,
        "proc_name": "sealdock-console",
    }
    if settings.certificate is not None and settings.private_key is not None:
        chosen |= {
            "certfile": str(settings.certificate),
            "keyfile": str(settings.private_key),
            "ssl_context": modern_tls,
        }
    return chosen


def modern_tls(_config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """TLS 1.2 or newer, without compression."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context
