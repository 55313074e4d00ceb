"""What the processes tell the operator: structured lines on standard error, never evidence and never secrets.

The custody record is the vault's log, not this one.
"""

from __future__ import annotations

import logging
import sys

import structlog

Log = structlog.stdlib.BoundLogger


def configure(process: str, *, human: bool | None = None) -> None:
    """Set up this process's log: JSON lines for machines, aligned text on a terminal."""
    readable = sys.stderr.isatty() if human is None else human
    on_terminal = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: structlog.typing.Processor = (
        on_terminal if readable else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)


def get(name: str) -> Log:
    """A logger; events are short phrases, facts are keyword arguments."""
    log: Log = structlog.get_logger(name)
    return log
