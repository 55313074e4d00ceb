"""What the console does by itself once a minute: old sessions go, counted refusals reach the log.

Refusals are entered when their minute is over (casework.evidence.viewing); without this the last one of the day would
wait for the next.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from casework.evidence.viewing import flush_denied
from core import log
from core.clock import utc_now
from core.errors import SealdockError
from webconsole.auth.session import IDLE, WebSession

if TYPE_CHECKING:
    from webconsole.context import ConsoleContext

EVERY_S = 60.0
_log = log.get(__name__)


def start(context: ConsoleContext, stop: threading.Event) -> threading.Thread:
    """Tidy every minute until `stop`, in a thread that ends with the process."""
    thread = threading.Thread(target=_run, args=(context, stop), name="housekeeping", daemon=True)
    thread.start()
    return thread


def tidy(context: ConsoleContext) -> int:
    """One round; how many `denied` entries were submitted."""
    now = utc_now()
    with context.db.writing() as session:
        over = (WebSession.expires_at < now) | (WebSession.seen_at < now - IDLE)
        session.execute(delete(WebSession).where(over))
        entered = len(flush_denied(session, context.submitter))
    if entered:
        context.submitter.ring()
    return entered


def _run(context: ConsoleContext, stop: threading.Event) -> None:
    while not stop.wait(EVERY_S):
        try:
            tidy(context)
        except (SealdockError, SQLAlchemyError) as error:
            _log.warning("housekeeping failed and will try again", error=str(error))
