"""The words for recorders and certificates in the reader's language, each state with its sign and tone."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext

from casework.equipment.event import RecorderState
from casework.people.certificate import Standing
from webconsole.display.wording import Choices


@dataclass(frozen=True)
class Mark:
    """How a state is shown: never by colour alone."""

    tone: str
    icon: str
    words: str


def states() -> Choices:
    """Where recorders are."""
    return [
        ("available", gettext("Available")),
        ("issued", gettext("Issued")),
        ("docked", gettext("Docked")),
        ("repair", gettext("In repair")),
        ("lost", gettext("Lost")),
        ("retired", gettext("Retired")),
    ]


def standings() -> Choices:
    """What certificates are worth."""
    return [
        ("expired", gettext("Expired")),
        ("missing", gettext("No certificate")),
        ("expiring", gettext("Expires soon")),
        ("not_yet", gettext("Not valid yet")),
        ("valid", gettext("Valid")),
    ]


def state_mark(state: str) -> Mark:
    """The state of a recorder."""
    tone, icon = {
        RecorderState.AVAILABLE: ("safe", "check"),
        RecorderState.ISSUED: ("working", "user"),
        RecorderState.DOCKED: ("safe", "usb"),
        RecorderState.REPAIR: ("person", "refresh-cw"),
        RecorderState.LOST: ("fault", "octagon-alert"),
        RecorderState.RETIRED: ("quiet", "archive"),
    }[RecorderState(state)]
    return Mark(tone, icon, dict(states())[state])


def standing_mark(standing: Standing) -> Mark:
    """The standing of a certificate (D15)."""
    tone, icon = {
        Standing.VALID: ("safe", "check"),
        Standing.EXPIRING: ("person", "clock"),
        Standing.EXPIRED: ("fault", "ban"),
        Standing.NOT_YET: ("person", "clock"),
        Standing.MISSING: ("fault", "circle-help"),
    }[standing]
    return Mark(tone, icon, dict(standings())[standing])


def happenings() -> dict[str, Mark]:
    """What a line of a recorder's history says."""
    return {
        "hand_out": Mark("working", "user", gettext("Handed out")),
        "hand_back": Mark("safe", "check", gettext("Taken back by hand")),
        "dock": Mark("safe", "usb", gettext("Docked")),
        "send_to_repair": Mark("person", "refresh-cw", gettext("Sent to repair")),
        "mend": Mark("safe", "check", gettext("Back from repair")),
        "report_lost": Mark("fault", "octagon-alert", gettext("Reported lost")),
        "find": Mark("safe", "search", gettext("Found again")),
        "retire": Mark("quiet", "archive", gettext("Retired")),
        "reinstate": Mark("safe", "check", gettext("Taken into use again")),
    }


def doings() -> dict[str, str]:
    """What a custodian may say of a recorder: the words of the button."""
    return {
        "send_to_repair": gettext("Send to repair"),
        "mend": gettext("It is mended"),
        "report_lost": gettext("Report lost"),
        "find": gettext("It was found"),
        "retire": gettext("Retire"),
        "reinstate": gettext("Take into use again"),
    }


def means() -> dict[str, str]:
    """How it was established who took a recorder."""
    return {
        "badge": gettext("known by badge"),
        "pin": gettext("known by number and PIN"),
        "custodian": gettext("entered by a custodian"),
    }


def outcomes() -> dict[str, str]:
    """How a docking session ended."""
    return {"complete": gettext("everything sealed"), "partial": gettext("not everything sealed")}
