"""Work to do later, as rows in the database beside the facts that ask for it.

A job is enqueued in the transaction that makes it necessary, claimed under a lease, and done exactly when its
handler says so. A worker that dies loses the lease and another goes on: handlers must be safe to run again.
The attempt number fences the lease: a worker that was only slow can no longer touch a job that went on.
There is no broker, because a second store could disagree with the first (ADR 0006).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import JSON, ColumnElement, Index, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.canonical import Json
from core.clock import new_id, utc_now
from core.db import Base, Database, UtcDateTime

MOST_DEATHS = 12  # `fail` gives up long before; only a job that kills its worker each time comes this far
RETRY_AFTER = (timedelta(seconds=2), timedelta(seconds=30), timedelta(minutes=10))  # then a person must look


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Job(Base):
    """One piece of work; `key` names it, so that asking twice is asking once."""

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_ready", "state", "kind", "run_after"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    payload: Mapped[Json] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(default=JobState.WAITING)
    run_after: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float] = mapped_column(default=0.0)
    error: Mapped[str] = mapped_column(default="")
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


def enqueue(session: Session, kind: str, key: str, payload: Json, delay: timedelta = timedelta()) -> None:
    """Ask for work in the caller's transaction; a job with the same `key` is left as it is."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    now = utc_now()
    row = {
        "id": new_id(), "kind": kind, "key": key, "payload": payload, "state": JobState.WAITING,
        "run_after": now + delay, "attempts": 0, "progress": 0.0, "error": "", "made_at": now,
    }  # fmt: skip
    session.execute(insert(Job).values(**row).on_conflict_do_nothing(index_elements=["key"]))


def claim(db: Database, kinds: Collection[str], lease: timedelta = timedelta(minutes=2)) -> Job | None:
    """Take the oldest job that is due, or whose worker let its lease run out; None when there is none."""
    now = utc_now()
    due = (Job.state == JobState.WAITING) & (Job.run_after <= now)
    abandoned = (Job.state == JobState.RUNNING) & (Job.lease_until < now)
    with db.reading() as session:
        if session.scalar(select(Job.id).where(Job.kind.in_(kinds), due | abandoned).limit(1)) is None:
            return None
    with db.writing() as session:
        waiting = (
            select(Job).where(Job.kind.in_(kinds), due | abandoned)
            .order_by(Job.run_after, Job.id).limit(1).with_for_update(skip_locked=True)
        )  # fmt: skip
        while (job := session.scalar(waiting)) is not None:
            if job.attempts < MOST_DEATHS:
                job.state, job.lease_until, job.attempts = JobState.RUNNING, now + lease, job.attempts + 1
                return job
            job.state, job.error = (
                JobState.FAILED,
                f"the worker died {job.attempts} times in the middle of it",
            )
            session.flush()
        return None


def renew(db: Database, job: Job, progress: float, lease: timedelta = timedelta(minutes=2)) -> None:
    """Say that the work goes on and how far it is (0..1)."""
    with db.writing() as session:
        session.execute(
            update(Job).where(_held(job)).values(progress=progress, lease_until=utc_now() + lease)
        )


def complete(session: Session, job: Job) -> None:
    """Done, in the same transaction as the job's result."""
    session.execute(
        update(Job).where(_held(job)).values(state=JobState.DONE, progress=1.0, error="", lease_until=None)
    )


def fail(db: Database, job: Job, error: str, *, final: bool = False) -> None:
    """Try again later, or leave it to a person once the retries are used up or the cause will not go away."""
    last = final or job.attempts > len(RETRY_AFTER)
    state = JobState.FAILED if last else JobState.WAITING
    run_after = utc_now() + RETRY_AFTER[min(job.attempts, len(RETRY_AFTER)) - 1]
    with db.writing() as session:
        session.execute(
            update(Job).where(_held(job))
            .values(state=state, error=error, run_after=run_after, lease_until=None)
        )  # fmt: skip


def release_all(db: Database, kinds: Collection[str]) -> None:
    """Give back what a dead worker held; called at its start by the only process of its kind."""
    with db.writing() as session:
        session.execute(
            update(Job).where(Job.kind.in_(kinds), Job.state == JobState.RUNNING)
            .values(state=JobState.WAITING, lease_until=None, run_after=utc_now())
        )  # fmt: skip


def _held(job: Job) -> ColumnElement[bool]:
    return (Job.id == job.id) & (Job.attempts == job.attempts)
