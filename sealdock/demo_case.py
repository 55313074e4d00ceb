"""What the demo does once the recorders are sealed: wait for the index, link to the case, hand out, verify."""

from __future__ import annotations

import shutil
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from sqlalchemy import func, select

from casework.evidence.exhibit import exhibits, link_many
from casework.evidence.recording import Recording
from casework.package.disclosure import request_disclosure
from casework.package.verify import verify_package
from core.errors import Exit
from core.jobs import Job, JobState
from sealdock.bureau import open_demo_case
from sealdock.demo import Demo, DemoError
from sealdock.wiring import Station, console_context
from vault.audit.verify import verify_vault
from vault.formats.note import VerifierKey
from vault.keyd import KeydClient, KeydUnreachableError
from vault.log.index import wait_sequenced
from webconsole.auth.account import find_account
from webconsole.packing import assemble

ANSWERS_WITHIN_S = 60
INDEXED_WITHIN_S = 240
SEQUENCED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """How the demo ended."""

    text: str
    exit_code: Exit


def wait_ready(demo: Demo, stop: threading.Event) -> str:
    """The console's address once it answers and the keys are unlocked. Raises DemoError."""
    station = Station.load(demo.settings_path)
    url = f"http://127.0.0.1:{station.settings.console.port}/"
    keyd = station.keyd("console")
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < deadline and not stop.wait(0.2):
        if _answers(url) and _is_unlocked(keyd):
            return url
    raise DemoError(why="console and key process did not answer", logs=demo.logs)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  our own loopback address
            return True
    except urllib.error.HTTPError:
        return True  # it answers; what it says is for a browser
    except OSError:
        return False


def _is_unlocked(keyd: KeydClient) -> bool:
    try:
        return keyd.status().is_unlocked
    except KeydUnreachableError:
        return False


def wait_indexed(demo: Demo, stop: threading.Event) -> None:
    """Wait until the worker has nothing left to do. Raises DemoError for a job that failed."""
    station = Station.load(demo.settings_path)
    deadline = time.monotonic() + INDEXED_WITHIN_S
    try:
        while time.monotonic() < deadline and not stop.wait(0.3):
            with station.db.reading() as session:
                failed = session.scalar(select(Job).where(Job.state == JobState.FAILED).limit(1))
                left = session.scalar(select(func.count()).select_from(Job).where(Job.state != JobState.DONE))
            if failed is not None:
                raise DemoError(why=f"the job {failed.key} failed ({failed.error})", logs=demo.logs)
            if not left:
                return
    finally:
        station.close()
    if not stop.is_set():
        raise DemoError(why=f"the recordings were not indexed within {INDEXED_WITHIN_S} s", logs=demo.logs)


def finish(demo: Demo) -> Outcome:
    """Link everything to the demo's case, build and check a package, verify the vault with its key from outside."""
    station = Station.load(demo.settings_path)
    try:
        package_id = _hand_out(demo, station)
        trusted = VerifierKey.parse((demo.credentials / "log.vkey").read_text(encoding="ascii").strip())
        package = verify_package(demo.directory / "package", trusted)
        vault = verify_vault(station.settings.vault, trusted)
        lines = [
            f"Package {package_id} in {demo.directory / 'package'}: {package.sentence.format(**package.parameters)}",
            *(f"  FAILED  {finding.path}: {finding.sentence}" for finding in package.findings),
            f"Vault: {vault.sentence}",
            *(f"  FAILED  {failure.sentence}" for failure in vault.failures),
        ]
        return Outcome("\n".join(lines), max(package.exit_code, vault.exit_code))
    finally:
        station.close()


def _hand_out(demo: Demo, station: Station) -> str:
    submitter = station.submitter("console")
    with station.db.reading() as session:
        account = find_account(session, "custodian")
        if account is None:
            raise DemoError(why="the custodian's account is gone", logs=demo.logs)
    case_id = open_demo_case(station.db, submitter, account.id)
    with station.db.writing() as session:
        linked = {one.recording.id for one in exhibits(session, case_id)}
        found = list(session.scalars(select(Recording.id).where(Recording.is_linked.is_(False))))
        if found:
            link_many(session, submitter, account.id, found, case_id)
        disclosure = request_disclosure(
            session, submitter, account.id, case_id, [*sorted(linked), *found],
            recipient="演示法院", purpose="庭审证据开示（演示）",
        )  # fmt: skip
    submitter.ring()
    wait_sequenced(station.db, disclosure.entry_id, SEQUENCED_WITHIN_S)
    target = demo.directory / "package"
    if target.exists():
        shutil.rmtree(target)
    assemble(console_context(station), disclosure.package_id).build(target)
    return disclosure.package_id
