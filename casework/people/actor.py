"""The names of those who act, as they were then.

Every name that an account ever had is kept, so that a chain of custody names people as they were; the account itself
(password, roles, sessions) is the console's.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.clock import parse_stamp
from core.db import Base, UtcDateTime
from vault.log.outbox import AppliedEntry


class ActorName(Base):
    """What an account was called from one moment on."""

    __tablename__ = "actor_name"
    __table_args__ = (Index("ix_actor_name_account_at", "account_id", "at"),)

    entry_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    username: Mapped[str]
    name: Mapped[str]
    officer_id: Mapped[str | None]


def actor_name(session: Session, account_id: str, at: datetime) -> ActorName | None:
    """What the account was called at that time; None when the log has no name for it."""
    return session.scalar(
        select(ActorName)
        .where(ActorName.account_id == account_id, ActorName.at <= at)
        .order_by(ActorName.at.desc(), ActorName.entry_id.desc())
        .limit(1)
    )


def apply_account(session: Session, applied: AppliedEntry) -> None:
    """Remember what an account is called from this `account` entry on."""
    if applied.fields is not None and "name" in applied.fields:
        session.merge(
            ActorName(
                entry_id=applied.leaf.id,
                account_id=applied.leaf.facts["account"],
                at=parse_stamp(applied.leaf.time),
                username=applied.fields.get("username", ""),
                name=applied.fields["name"],
                officer_id=applied.fields.get("officer_id"),
            )
        )
