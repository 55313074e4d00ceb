"""The words of the trade in the reader's language: one function a list, in the order in which people read it.

DOMAIN.md fixes both languages; a value that no list knows is shown as it is, never hidden.
"""

from __future__ import annotations

from flask_babel import gettext

Choices = list[tuple[str, str]]


def stages() -> Choices:
    """The seven stages of a case (D23)."""
    return [
        ("filing", gettext("Filing")),
        ("investigation", gettext("Investigation")),
        ("evidence", gettext("Evidence")),
        ("review", gettext("Review")),
        ("decision", gettext("Decision")),
        ("service", gettext("Service")),
        ("execution", gettext("Execution")),
    ]


def kinds() -> Choices:
    """The kinds of cases."""
    return [
        ("check", gettext("Check")),
        ("penalty", gettext("Penalty")),
        ("compulsory_measure", gettext("Compulsory measure")),
        ("permit", gettext("Permit")),
    ]


def media() -> Choices:
    """The kinds of recordings."""
    return [
        ("video", gettext("Video")),
        ("audio", gettext("Audio")),
        ("image", gettext("Photograph")),
        ("other", gettext("Other file")),
    ]


def purposes() -> list[tuple[str, str, str]]:
    """Why somebody who is not the holder looks: value, words, hint."""
    return [
        ("case", gettext("Work on a case"), gettext("Linking, checking or preparing it as evidence")),
        ("hearing", gettext("Preparing a hearing"), gettext("Statement, defence, hearing or legal review")),
        ("supervision", gettext("Supervision"), gettext("A spot check, a complaint or an appraisal")),
        ("technical", gettext("Technical check"), gettext("Something seems wrong with the file")),
    ]


def purpose(code: str) -> str:
    """The words of one purpose, the holder's own included."""
    own: str = gettext("Own recording")
    return own if code == "own" else word({value: words for value, words, _ in purposes()}.items(), code)


def origins() -> Choices:
    """How a recording came into the house."""
    return [
        ("dock", gettext("From a recorder in the dock")),
        ("hand", gettext("From a folder or card, by hand")),
        ("inbox", gettext("From the watched inbox folder")),
    ]


def renditions() -> Choices:
    """What was looked at."""
    return [
        ("poster", gettext("a still in a list")),
        ("original", gettext("the original")),
        ("proxy", gettext("the browser copy")),
    ]


def retention_classes() -> Choices:
    """How long a kind of recording is kept, by the class that decides (D39)."""
    return [
        ("ordinary", gettext("Ordinary footage")),
        ("case_evidence", gettext("Case evidence")),
        ("major_incident", gettext("Major incident")),
    ]


def clock_sources() -> Choices:
    """Where a recording's own time comes from."""
    return [
        ("name", gettext("From the file's name, as the recorder's clock stood")),
        ("file", gettext("From the card's file list, as the recorder's clock stood")),
        ("none", gettext("The recorder named no time.")),
    ]


def word(choices: object, value: str | None) -> str:
    """The words for `value`; the value itself where the list has none, a dash for nothing."""
    if not value:
        return "—"
    return dict(choices).get(value, value)  # type: ignore[call-overload, no-any-return]


def silence() -> str:
    """What is said of a bay while the dock does not speak."""
    return str(gettext("Not known, ask a custodian"))
