"""Taking a recording out of a case, from whichever page it is asked."""

from __future__ import annotations

from flask_babel import gettext

from casework.evidence.exhibit import unlink
from core.errors import SealdockError
from webconsole.context import console
from webconsole.forms.field import Form
from webconsole.gate import current_account
from webconsole.i18n import sentence
from webconsole.page import leave_notice


def take_out(recording_id: str, case_id: str, note: str, form: Form) -> None:
    """End the link with its reason and tell the person; `form` is what the three were read from."""
    try:
        form.check()
        with console().db.writing() as session:
            unlink(session, console().submitter, current_account().id, recording_id, case_id, note=note)
    except SealdockError as error:
        leave_notice("fault", sentence(error))
        return
    console().submitter.ring()
    leave_notice("safe", gettext("Taken out of the case. The earlier link stays in the chain of custody."))
