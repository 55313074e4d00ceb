"""The worker: takes jobs from the database and runs the code that each package registered for them.

A job that fails is tried again later with its error kept; after the last try it stands in the custodian's
inbox. A worker that is killed loses its lease and the job is done by the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from core import jobs, log
from core.bell import Bell
from core.db import Database
from core.errors import SealdockError
from core.jobs import Job

Work = Callable[[Job], None]
LOOK_EVERY_S = 1.0


class Worker:
    """One loop over the job table; `works` maps each kind of job to what does it."""

    def __init__(self, db: Database, works: Mapping[str, Work], bell: Bell) -> None:
        self._db = db
        self._works = works
        self._bell = bell
        self._log = log.get("worker")

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the job in hand is finished or given back."""
        jobs.release_all(self._db, tuple(self._works))
        while not stop.is_set():
            job = jobs.claim(self._db, tuple(self._works))
            if job is None:
                self._bell.wait(LOOK_EVERY_S)
            else:
                self._do(job)

    def _do(self, job: Job) -> None:
        self._log.info("job started", kind=job.kind, key=job.key, attempt=job.attempts)
        try:
            self._works[job.kind](job)
        except SealdockError as error:
            self._log.warning("job failed", kind=job.kind, key=job.key, code=error.code, error=str(error))
            jobs.fail(self._db, job, f"{error.code}: {error}")
        except Exception as error:  # noqa: BLE001  one bad job must not stop the others; it is kept and shown
            self._log.exception("job failed unexpectedly", kind=job.kind, key=job.key)
            jobs.fail(self._db, job, f"{type(error).__name__}: {error}")
        else:
            self._log.info("job done", kind=job.kind, key=job.key)
