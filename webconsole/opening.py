"""Opening sealed bytes for a person: the grant on the log, the key from keyd, a reader over the file.

1. A `view` entry of this person about this recording must be on the log. 2. keyd gives the file key against
it. 3. The reader gives out only bytes whose seal is checked. The key is kept for minutes (see
webconsole.keycache); the first step is repeated for every request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from casework.evidence.recording import Recording
from casework.evidence.viewing import grant_for
from core.errors import Exit, SealdockError
from vault.formats.payload import PayloadReader
from vault.keyd import RateLimitedError
from vault.log.index import wait_sequenced
from vault.store.objects import open_object
from webconsole.auth.session import SignedIn
from webconsole.keycache import KeyCache, KeyName, SealedKey

if TYPE_CHECKING:
    from webconsole.context import ConsoleContext

SEQUENCED_WITHIN_S = 5.0
RATE_PATIENCE_S = 2.0  # keyd gives 20 keys a second after the first 300
RATE_PAUSE_S = 0.1
ORIGINAL = "original"
PROXY = "proxy"
POSTER = "poster"
STILLS = (POSTER, PROXY, ORIGINAL)  # whoever may see it move may see it stand
ACCEPTED_GRANTS = {ORIGINAL: (ORIGINAL,), PROXY: (PROXY, ORIGINAL)}


class NoGrantError(SealdockError):
    """Nobody said why this person looks at this recording."""

    code = "webconsole.no_grant"
    sentence = (
        "Nothing was shown: open the recording from its page first, where the reason for looking is entered."
    )
    exit_code = Exit.NO


class NoRenditionError(SealdockError):
    """There is no such picture or copy (yet)."""

    code = "webconsole.no_such_rendition"
    sentence = (
        "There is no {rendition} of this recording yet. The original is sealed and safe; "
        "the worker makes it in its turn. Look again in a few minutes."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class Opened:
    """Bytes ready to be sent."""

    reader: PayloadReader
    sha256: str
    mime: str


class Opener:
    """Opens originals and derivatives for web sessions; any thread."""

    def __init__(self, context: ConsoleContext, keys: KeyCache) -> None:
        self._context = context
        self._keys = keys

    def forget(self, session_id: str) -> None:
        """The session is over; its keys go."""
        self._keys.forget(session_id)

    def original(self, account: SignedIn, recording: Recording, mime: str) -> Opened:
        """The sealed file itself. Raises NoGrantError, NotSequencedError, KeydLockedError, DisposedError."""
        context, grant = self._context, self._grant(account, recording.id, ORIGINAL)
        name = KeyName(account.session_id, recording.id, ORIGINAL)
        key = self._key(name, lambda index: context.keyd.unwrap(index, grant=self._index(grant)))
        reader = open_object(context.vault, key.index, key.leaf, key.file_key)
        return Opened(reader, recording.sha256, mime)

    def derivative(self, account: SignedIn, recording: Recording, rendition: str) -> Opened:
        """A copy or picture made by the worker. Raises as `original`, and NoRenditionError."""
        context, grant = self._context, self._grant(account, recording.id, rendition)
        found = context.derived.find(recording.id, rendition)
        if found is None:
            raise NoRenditionError(rendition=rendition)
        name = KeyName(account.session_id, recording.id, f"{rendition} {found.sha256}")
        ask = partial(context.keyd.unwrap_derived, found.note, found.key_slot)
        key = self._key(name, lambda index: ask(index, grant=self._index(grant)))
        return Opened(context.derived.open(recording.id, rendition, key.file_key), found.sha256, found.mime)

    def _index(self, entry_id: str) -> int:
        return wait_sequenced(self._context.db, entry_id, SEQUENCED_WITHIN_S)

    def _key(self, name: KeyName, ask: Callable[[int], bytes]) -> SealedKey:
        """The key that is kept, or keyd's; a page full of pictures waits a little for keyd's rate."""
        kept = self._keys.get(name)
        if kept is not None:
            return kept
        index = self._index(name.recording_id)
        key = SealedKey(_patiently(lambda: ask(index)), index, self._context.reader.leaf(index))
        self._keys.put(name, key)
        return key

    def _grant(self, account: SignedIn, recording_id: str, rendition: str) -> str:
        with self._context.db.reading() as session:
            for accepted in ACCEPTED_GRANTS.get(rendition, STILLS):
                grant = grant_for(session, account.id, recording_id, accepted)
                if grant is not None:
                    return grant
        raise NoGrantError


def _patiently(ask: Callable[[], bytes]) -> bytes:
    deadline = time.monotonic() + RATE_PATIENCE_S
    while True:
        try:
            return ask()
        except RateLimitedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RATE_PAUSE_S)
