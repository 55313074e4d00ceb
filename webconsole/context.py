"""What the console was given to work with; made once in sealdock/wiring.py, never looked up elsewhere.

The console can read stored bytes and ask keyd for one file key at a time. It holds no vault key and cannot
write an object: an attacker who owns this process can look at what its people may look at, and every look is
an entry on the log before a key is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from core.db import Database
    from core.settings import Settings
    from vault.formats.note import SigningKey
    from vault.keyd import KeydClient
    from vault.log.ledger import LogReader
    from vault.log.outbox import Submitter
    from vault.store.derived import DerivedStore
    from vault.store.objects import Vault
    from webconsole.opening import Opener

EXTENSION = "sealdock"
OPENER = "sealdock-opener"


@dataclass(frozen=True)
class ConsoleContext:
    """The console's only way to settings, database, vault, log and keys."""

    settings: Settings
    db: Database
    vault: Vault
    reader: LogReader
    submitter: Submitter
    keyd: KeydClient
    derived: DerivedStore
    signer: SigningKey  # the console's process key; second factors are kept under a key derived from it


def console() -> ConsoleContext:
    """The context of the application that answers this request."""
    return cast("ConsoleContext", current_app.extensions[EXTENSION])


def opener() -> Opener:
    """What opens sealed bytes for this application."""
    return cast("Opener", current_app.extensions[OPENER])
