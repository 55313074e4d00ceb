"""The recorders of the bureau, as the register's table has them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, UtcDateTime


class RecorderAsset(Base):
    """A recorder: registered by a custodian, or only seen in a bay (`is_registered` is False).

    `officer_id` is whom the register assigns it to; who holds it at a moment is the issue ledger's to say.
    `state` and what follows it are folded from the events of the recorder (casework.equipment.recorder) and never set
    by hand.
    """

    __tablename__ = "recorder_asset"
    __table_args__ = (Index("ix_recorder_asset_state_due", "state", "shift_ends_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    serial: Mapped[str] = mapped_column(index=True)
    model: Mapped[str] = mapped_column(default="")
    officer_id: Mapped[str | None] = mapped_column(index=True)
    card_serial: Mapped[str] = mapped_column(default="")
    battery_serial: Mapped[str] = mapped_column(default="")
    is_registered: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(default="available")
    state_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    holder_id: Mapped[str | None] = mapped_column(index=True)  # who was handed it, while it is out
    shift_ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # while it is out
    firmware: Mapped[str] = mapped_column(default="")  # as the last session that knew it says
    profile: Mapped[str] = mapped_column(default="")
    docked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the end of its last session
    bay: Mapped[int | None]  # of its last session
    version: Mapped[str]
