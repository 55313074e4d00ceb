"""Who may do what: the whole authorisation policy of the house as one table.

Invariant: what is not in `TABLE` is not allowed to anybody, and a permission that is missing from `TABLE`
does not exist. Two lines hold whatever else changes: the administrator runs the machine and sees no
evidence, and the auditor sees every entry of the log and no content (DOMAIN.md, People). A permission that
ends in `_own` reaches only what the person recorded.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class Role(StrEnum):
    """What a person is in the bureau; one account may have several."""

    OFFICER = "officer"
    CUSTODIAN = "custodian"
    REVIEWER = "reviewer"
    LEGAL_REVIEWER = "legal_reviewer"
    HEAD = "head"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Permission(StrEnum):
    """One thing that can be allowed: a subject and a verb."""

    DOCK_VIEW = "dock.view"
    INBOX_VIEW = "inbox.view"
    RECORDING_LIST_OWN = "recording.list_own"
    RECORDING_WATCH_OWN = "recording.watch_own"
    RECORDING_LIST = "recording.list"
    RECORDING_WATCH = "recording.watch"
    RECORDING_LINK = "recording.link"
    HOLD_PLACE = "hold.place"
    CASE_LIST = "case.list"
    CASE_VIEW = "case.view"
    CASE_OPEN = "case.open"
    CASE_CHANGE = "case.change"
    CUSTODY_VIEW = "custody.view"
    DISCLOSURE_LIST = "disclosure.list"
    DISCLOSURE_MAKE = "disclosure.make"
    LOG_VIEW = "log.view"
    PEOPLE_VIEW = "people.view"
    PEOPLE_MANAGE = "people.manage"
    OFFICER_IDENTIFY = "officer.identify"
    RECORDER_VIEW = "recorder.view"
    RECORDER_MANAGE = "recorder.manage"
    RECORDER_ISSUE = "recorder.issue"
    ACCOUNT_VIEW = "account.view"
    ACCOUNT_MANAGE = "account.manage"
    STATION_VIEW = "station.view"
    STATION_MANAGE = "station.manage"


_OFFICER, _CUSTODIAN, _REVIEWER = Role.OFFICER, Role.CUSTODIAN, Role.REVIEWER
_LEGAL, _HEAD, _AUDITOR, _ADMIN = Role.LEGAL_REVIEWER, Role.HEAD, Role.AUDITOR, Role.ADMINISTRATOR
_CASEWORK = (_CUSTODIAN, _REVIEWER, _LEGAL, _HEAD)
_EVERYBODY = tuple(Role)

TABLE: dict[Permission, frozenset[Role]] = {
    # The station: what the bays are doing says nothing about what was recorded.
    Permission.DOCK_VIEW: frozenset(_EVERYBODY),
    Permission.INBOX_VIEW: frozenset((_CUSTODIAN,)),
    # Footage: an officer sees what that officer recorded; the desk roles see what they work on.
    Permission.RECORDING_LIST_OWN: frozenset((_OFFICER, *_CASEWORK)),
    Permission.RECORDING_WATCH_OWN: frozenset((_OFFICER, *_CASEWORK)),
    Permission.RECORDING_LIST: frozenset(_CASEWORK),
    Permission.RECORDING_WATCH: frozenset(_CASEWORK),
    Permission.RECORDING_LINK: frozenset((_CUSTODIAN,)),
    # What is due, and what holds it; approving a release or a disposal takes a personal key besides (D39).
    Permission.HOLD_PLACE: frozenset((_CUSTODIAN,)),
    # Cases.
    Permission.CASE_LIST: frozenset((_OFFICER, *_CASEWORK)),
    Permission.CASE_VIEW: frozenset((_OFFICER, *_CASEWORK)),
    Permission.CASE_OPEN: frozenset((_CUSTODIAN,)),
    Permission.CASE_CHANGE: frozenset((_CUSTODIAN,)),
    # Proof: who touched what. The auditor reads all of it without seeing a picture.
    Permission.CUSTODY_VIEW: frozenset((*_CASEWORK, _AUDITOR)),
    Permission.LOG_VIEW: frozenset((_CUSTODIAN, _HEAD, _AUDITOR)),
    # Handing evidence out of the house.
    Permission.DISCLOSURE_LIST: frozenset((_CUSTODIAN, _LEGAL, _HEAD, _AUDITOR)),
    Permission.DISCLOSURE_MAKE: frozenset((_CUSTODIAN,)),
    # People and equipment.
    Permission.PEOPLE_VIEW: frozenset((*_CASEWORK, _AUDITOR, _ADMIN)),
    Permission.PEOPLE_MANAGE: frozenset((_CUSTODIAN, _ADMIN)),
    # Giving somebody a badge or PIN is giving them a name at the dock; whoever runs the machine gives none.
    Permission.OFFICER_IDENTIFY: frozenset((_CUSTODIAN,)),
    Permission.RECORDER_VIEW: frozenset((_CUSTODIAN, _REVIEWER, _LEGAL, _HEAD, _AUDITOR, _ADMIN)),
    Permission.RECORDER_MANAGE: frozenset((_CUSTODIAN, _ADMIN)),
    Permission.RECORDER_ISSUE: frozenset((_CUSTODIAN,)),
    # The machine.
    Permission.ACCOUNT_VIEW: frozenset((_HEAD, _AUDITOR, _ADMIN)),
    Permission.ACCOUNT_MANAGE: frozenset((_ADMIN,)),
    Permission.STATION_VIEW: frozenset((_CUSTODIAN, _AUDITOR, _ADMIN)),
    Permission.STATION_MANAGE: frozenset((_ADMIN,)),
}

CONTENT: frozenset[Permission] = frozenset(
    {
        Permission.RECORDING_LIST_OWN,
        Permission.RECORDING_WATCH_OWN,
        Permission.RECORDING_LIST,
        Permission.RECORDING_WATCH,
        Permission.RECORDING_LINK,
        Permission.HOLD_PLACE,
        Permission.CASE_LIST,
        Permission.CASE_VIEW,
        Permission.CASE_OPEN,
        Permission.CASE_CHANGE,
        Permission.DISCLOSURE_MAKE,
    }
)
"""What shows footage, its names or a case; never the administrator's nor the auditor's."""


def allows(roles: Collection[Role], permission: Permission) -> bool:
    """Whether any of `roles` has `permission`; nobody has what the table does not name."""
    return not TABLE.get(permission, frozenset()).isdisjoint(roles)


def permissions_of(roles: Collection[Role]) -> frozenset[Permission]:
    """Everything that somebody with these roles may do."""
    return frozenset(permission for permission in TABLE if allows(roles, permission))
