from __future__ import annotations

import pytest

from casework.access.permission import CONTENT, TABLE, Permission, Role, allows, permissions_of


def test_the_table_decides_every_permission() -> None:
    assert set(TABLE) == set(Permission)


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.AUDITOR])
def test_administrator_and_auditor_see_no_content(role: Role) -> None:
    assert permissions_of([role]).isdisjoint(CONTENT)


def test_the_auditor_reads_every_entry() -> None:
    assert {Permission.LOG_VIEW, Permission.CUSTODY_VIEW} <= permissions_of([Role.AUDITOR])


def test_an_officer_reaches_only_what_is_the_officers_own() -> None:
    footage = {each for each in permissions_of([Role.OFFICER]) if each.startswith("recording.")}
    assert footage == {Permission.RECORDING_LIST_OWN, Permission.RECORDING_WATCH_OWN}


def test_only_a_custodian_hands_evidence_out() -> None:
    assert [role for role in Role if allows([role], Permission.DISCLOSURE_MAKE)] == [Role.CUSTODIAN]


def test_roles_add_up_and_nobody_without_a_role_may_do_anything() -> None:
    both = [Role.AUDITOR, Role.OFFICER]
    assert permissions_of(both) == permissions_of(both[:1]) | permissions_of(both[1:])
    assert permissions_of([]) == frozenset()


def test_whoever_may_watch_everything_may_list_everything() -> None:
    assert TABLE[Permission.RECORDING_WATCH] <= TABLE[Permission.RECORDING_LIST]
    assert TABLE[Permission.CASE_CHANGE] <= TABLE[Permission.CASE_VIEW] <= TABLE[Permission.CASE_LIST]
