"""Whose footage a session brings, while it runs: who held the recorder, who is asked, and where the names disagree.

Invariants: while nobody is known to have held what is new, somebody is asked, and what is said at the kiosk counts at
once; a name that says another officer is told on the tile as soon as it is seen and is resolved by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from core.db import Database
from devices.profile import Profile
from ingest.answer import answer_to
from ingest.circumstance import Circumstance, Origin
from ingest.holding import Conflicts, Holder, recorded_at
from ingest.plan import Planned
from ingest.status import Message, Need, Tile

EVERY_S = 1.0  # while nobody knows who held it: has somebody named himself at the kiosk?


class Whose:
    """The holder of one session's recordings: `holder` is who had the recorder when it came, asked for once.

    `show_holder` is told the officer's number whenever it is known better, `heard` how the recorder is pulled since.
    """

    def __init__(
        self, db: Database, session_id: str, files: list[Planned], circumstance: Circumstance, tile: Tile,
        show_holder: Callable[[str | None], None],
    ) -> None:  # fmt: skip
        self.circumstance, self.conflicts = circumstance, Conflicts()
        self.heard: Callable[[Circumstance], None] = lambda _how: None
        self._db, self._session_id, self._files, self._tile = db, session_id, files, tile
        self._show_holder = show_holder
        self._named = {planned.file.officer_number for planned in files} - {None}
        self._heard_at = 0.0
        self.holder = self._known()

    def _known(self) -> Holder:
        """Who had the recorder when it came; by the names only where all of them agree and nothing better says it."""
        return self.circumstance.holder(next(iter(self._named)) if len(self._named) == 1 else None)

    def asked(self) -> str | None:
        """Whoever held what is new has to say so, when nothing says it for them."""
        is_new = any(self._is_ours(planned) for planned in self._files)
        is_asked = self.circumstance.origin is Origin.DOCK and is_new and self.holder.number is None
        return Need.CLAIM.value if is_asked else None

    def begin(self) -> None:
        """What is known when the session begins."""
        self.hear()
        self._show_holder(self.holder.number)

    def hear(self, at_most_every_s: float = 0) -> None:
        """Take in what somebody said at the kiosk of a recorder whose holder nobody knows."""
        is_known = self.circumstance.origin is not Origin.DOCK or self.holder.number is not None
        if is_known or monotonic() - self._heard_at < at_most_every_s:
            return
        self._heard_at = monotonic()
        with self._db.reading() as session:
            answer = answer_to(session, self._session_id)
        if answer is None:
            return
        self.circumstance = self.circumstance.shown(answer)
        self.holder = self._known()
        self.heard(self.circumstance)
        self._show_holder(answer.officer_number)
        self.show_calm()

    def compare_names(self, planned: Planned, profile: Profile, zone: str) -> None:
        """Whether the names of a file of this session say another officer than its holder; that is told at once."""
        if not self._is_ours(planned):
            return
        had, file = self.conflicts.error(), planned.file
        held = self.circumstance.holder(file.officer_number, recorded_at(file, profile, zone))
        self.conflicts.note(file.officer_number, held)
        if had is None and (conflict := self.conflicts.error()) is not None:
            self._tile.show(message=Message.of(conflict))

    def show_calm(self) -> None:
        """Nothing is in the way any more: what is left to be said of the holder."""
        conflict = self.conflicts.error()
        self._tile.show(message=Message.of(conflict) if conflict else None, needs=self.asked())

    def _is_ours(self, planned: Planned) -> bool:
        return planned.known is None or planned.known.session_id == self._session_id
