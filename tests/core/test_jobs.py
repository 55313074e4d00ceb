from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core import jobs
from core.clock import utc_now
from core.db import Database
from core.jobs import RETRY_AFTER, Job, JobState, claim, complete, enqueue, fail, release_all, renew

KINDS = ("index", "proxy")


def ask(db: Database, key: str, kind: str = "index", delay: timedelta = timedelta()) -> None:
    with db.writing() as session:
        enqueue(session, kind, key, {"recording": key}, delay)


def look(db: Database, key: str) -> Job:
    with db.reading() as session:
        return session.scalars(select(Job).where(Job.key == key)).one()


def take(db: Database) -> Job:
    job = claim(db, KINDS)
    assert job is not None
    return job


def shift(db: Database, key: str, **moved: timedelta) -> None:
    """Move a job's times instead of waiting for them."""
    with db.writing() as session:
        times = {name: utc_now() + by for name, by in moved.items()}
        session.execute(update(Job).where(Job.key == key).values(**times))


def finish(db: Database, job: Job) -> None:
    with db.writing() as session:
        complete(session, job)


def test_a_job_is_asked_for_claimed_and_done(database: Database) -> None:
    ask(database, "a")
    job = take(database)
    assert (job.key, job.payload, job.attempts, job.state) == ("a", {"recording": "a"}, 1, JobState.RUNNING)
    assert job.lease_until is not None
    assert job.lease_until > utc_now()
    finish(database, job)
    done = look(database, "a")
    assert (done.state, done.progress, done.lease_until) == (JobState.DONE, 1.0, None)
    assert claim(database, KINDS) is None


def test_asking_twice_is_asking_once_whatever_became_of_the_first(database: Database) -> None:
    ask(database, "a")
    ask(database, "a", kind="proxy")
    job = take(database)
    assert job.kind == "index"
    ask(database, "a")
    finish(database, job)
    ask(database, "a")
    assert claim(database, KINDS) is None
    assert look(database, "a").state == JobState.DONE


def test_a_job_comes_and_goes_with_the_transaction_that_asks_for_it(database: Database) -> None:
    def ask_and_give_up() -> None:
        with database.writing() as session:
            enqueue(session, "index", "a", {})
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        ask_and_give_up()
    assert claim(database, KINDS) is None


def test_completion_comes_and_goes_with_the_transaction_of_the_result(database: Database) -> None:
    ask(database, "a")
    job = take(database)

    def finish_and_give_up() -> None:
        with database.writing() as session:
            complete(session, job)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        finish_and_give_up()
    assert look(database, "a").state == JobState.RUNNING


def test_only_the_kinds_asked_for_are_claimed_the_oldest_first(database: Database) -> None:
    ask(database, "other", kind="export")
    for key in ("b", "a", "c"):
        ask(database, key)
    assert [take(database).key for _ in range(3)] == ["b", "a", "c"]
    assert claim(database, KINDS) is None
    assert claim(database, ()) is None


def test_a_delayed_job_waits_for_its_time(database: Database) -> None:
    ask(database, "a", delay=timedelta(hours=1))
    assert claim(database, KINDS) is None
    shift(database, "a", run_after=timedelta(seconds=-1))
    assert take(database).key == "a"


def test_a_job_under_lease_is_left_alone_and_an_abandoned_one_is_taken_over(database: Database) -> None:
    ask(database, "a")
    take(database)
    assert claim(database, KINDS) is None
    shift(database, "a", lease_until=timedelta(seconds=-1))
    assert take(database).attempts == 2


def test_renewing_keeps_the_lease_and_tells_how_far(database: Database) -> None:
    ask(database, "a")
    job = take(database)
    shift(database, "a", lease_until=timedelta(seconds=-1))
    renew(database, job, 0.4)
    assert claim(database, KINDS) is None
    assert look(database, "a").progress == 0.4


def test_failing_waits_longer_each_time_and_then_calls_a_person(database: Database) -> None:
    ask(database, "a")
    for wait in RETRY_AFTER:
        fail(database, take(database), "disk full")
        waiting = look(database, "a")
        assert (waiting.state, waiting.error, waiting.lease_until) == (JobState.WAITING, "disk full", None)
        assert wait - timedelta(seconds=5) < waiting.run_after - utc_now() <= wait
        assert claim(database, KINDS) is None
        shift(database, "a", run_after=timedelta(seconds=-1))
    fail(database, take(database), "disk full")
    assert look(database, "a").state == JobState.FAILED
    shift(database, "a", run_after=timedelta(seconds=-1))
    assert claim(database, KINDS) is None


def test_a_cause_that_will_not_go_away_is_not_tried_again(database: Database) -> None:
    ask(database, "a")
    fail(database, take(database), "not media", final=True)
    assert (look(database, "a").state, look(database, "a").attempts) == (JobState.FAILED, 1)


@pytest.mark.parametrize("verb", ["complete", "fail", "renew"])
def test_a_slow_worker_cannot_touch_a_job_that_went_on_without_it(database: Database, verb: str) -> None:
    ask(database, "a")
    slow = take(database)
    shift(database, "a", lease_until=timedelta(seconds=-1))
    finish(database, take(database))
    {"complete": lambda: finish(database, slow), "fail": lambda: fail(database, slow, "late"),
     "renew": lambda: renew(database, slow, 0.1)}[verb]()  # fmt: skip
    job = look(database, "a")
    assert (job.state, job.progress, job.error, job.lease_until) == (JobState.DONE, 1.0, "", None)


def test_what_a_dead_worker_held_is_given_back_at_once(database: Database) -> None:
    ask(database, "a")
    ask(database, "other", kind="export")
    take(database)
    claim(database, ("export",))
    release_all(database, KINDS)
    assert take(database).key == "a"
    assert look(database, "other").state == JobState.RUNNING


def test_two_claimers_in_two_processes_never_get_the_same_job(
    database: Database, tmp_path: Path, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import sys
from core.db import Database
from core.jobs import claim, complete
db = Database(sys.argv[1])
job = claim(db, ("index",))
print(job.key, flush=True)
sys.stdin.readline()  # until the other has one too
while job:
    with db.writing() as session:
        complete(session, job)
    if job := claim(db, ("index",)):
        print(job.key, flush=True)
"""
    with database.writing() as session:
        for number in range(40):
            enqueue(session, "index", f"job {number}", {})
    workers = [elsewhere(program, f"sqlite:///{tmp_path / 'sealdock.db'}") for _ in range(2)]
    took = [worker.stdout.readline().strip() for worker in workers if worker.stdout is not None]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        took += worker.communicate()[0].splitlines()
    assert sorted(took) == sorted(f"job {number}" for number in range(40))


@pytest.mark.crash
def test_a_worker_killed_in_the_middle_loses_its_job_to_the_next(
    database: Database, tmp_path: Path, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import os, signal, sys
from datetime import timedelta
from core.db import Database
from core.jobs import claim
claim(Database(sys.argv[1]), ("index",), lease=timedelta(milliseconds=1))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ask(database, "a")
    elsewhere(program, f"sqlite:///{tmp_path / 'sealdock.db'}").communicate()
    job = take(database)
    assert (job.key, job.attempts) == ("a", 2)


def test_a_job_that_kills_its_worker_each_time_is_given_up(database: Database) -> None:
    db = database
    with db.writing() as session:
        jobs.enqueue(session, "poison", "poison:1", {})
        jobs.enqueue(session, "poison", "good:1", {}, timedelta(seconds=0))
    deaths = 0
    while (
        job := jobs.claim(db, ["poison"], lease=timedelta(seconds=-1))
    ) is not None and job.key == "poison:1":
        deaths += 1
        assert deaths <= jobs.MOST_DEATHS
    assert deaths == jobs.MOST_DEATHS
    with db.reading() as session:
        poison = session.scalar(select(Job).where(Job.key == "poison:1"))
    assert poison is not None
    assert poison.state == JobState.FAILED
    assert "died 12 times" in poison.error
