"""Opening sealed bytes for a person: the grant on the log, the key from keyd, a reader over the file.

1. A `view` entry of this person about this recording must be on the log. 2. keyd gives the file key against
it. 3. The reader gives out only bytes whose seal is checked. The key is kept for minutes (see
webconsole.keycache); the first step is repeated for every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casework.recording import Recording
from casework.viewing import grant_for
from core.errors import Exit, SealdockError
from vault.objects import open_object
from vault.outbox import wait_sequenced
from vault.payload import PayloadReader
from webconsole.auth.session import SignedIn
from webconsole.keycache import KeyCache, KeyName

if TYPE_CHECKING:
    from webconsole.context import ConsoleContext

SEQUENCED_WITHIN_S = 5.0
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
        grant = self._grant(account, recording.id, ORIGINAL)
        index = wait_sequenced(self._context.db, recording.id, SEQUENCED_WITHIN_S)
        name = KeyName(account.session_id, recording.id, ORIGINAL)
        file_key = self._keys.get(name)
        if file_key is None:
            granted = wait_sequenced(self._context.db, grant, SEQUENCED_WITHIN_S)
            file_key = self._context.keyd.unwrap(index, granted)
            self._keys.put(name, file_key)
        leaf = self._context.reader.leaf(index)
        return Opened(open_object(self._context.vault, index, leaf, file_key), recording.sha256, mime)

    def derivative(self, account: SignedIn, recording: Recording, rendition: str) -> Opened:
        """A copy or picture made by the worker. Raises as `original`, and NoRenditionError."""
        grant = self._grant(account, recording.id, rendition)
        derived = self._context.derived.find(recording.id, rendition)
        if derived is None:
            raise NoRenditionError(rendition=rendition)
        name = KeyName(account.session_id, recording.id, rendition)
        file_key = self._keys.get(name)
        if file_key is None:
            granted = wait_sequenced(self._context.db, grant, SEQUENCED_WITHIN_S)
            file_key = self._context.keyd.unwrap_derived(derived.note, derived.key_slot, granted)
            self._keys.put(name, file_key)
        reader = self._context.derived.open(recording.id, rendition, file_key)
        return Opened(reader, derived.sha256, derived.mime)

    def _grant(self, account: SignedIn, recording_id: str, rendition: str) -> str:
        with self._context.db.reading() as session:
            for accepted in ACCEPTED_GRANTS.get(rendition, STILLS):
                grant = grant_for(session, account.id, recording_id, accepted)
                if grant is not None:
                    return grant
        raise NoGrantError
