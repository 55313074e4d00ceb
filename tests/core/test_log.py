from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from core import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def test_a_line_is_json_with_process_level_time_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("dockd", human=False)
    log.get("ingest").warning("card gone", bay=3, officer="\u674e")
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "card gone",
        "bay": 3,
        "officer": "\u674e",
        "level": "warning",
        "process": "dockd",
    }


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("vaultd", human=False)
    try:
        int("broken tile")
    except ValueError:
        log.get("vault").exception("stopped")
    (line,) = capsys.readouterr().err.splitlines()
    assert "broken tile" in json.loads(line)["exception"]


def test_a_person_reads_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("worker", human=True)
    log.get("media").info("indexed", recording="01J")
    told = capsys.readouterr().err
    assert "indexed" in told
    assert not told.startswith("{")


def test_debug_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("keyd", human=False)
    log.get("vault").debug("every byte")
    assert capsys.readouterr().err == ""
