from __future__ import annotations

import threading
import time
from base64 import b32decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import select, text, update

from casework.access.permission import Role
from core import guessable
from core.clock import utc_now
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, OutboxRow
from vault.log.submission import open_submission
from webconsole.auth import account as accounts
from webconsole.auth import password as passwords
from webconsole.auth import session, sign_in, throttle, totp
from webconsole.auth.account import Account, UsernameError, UsernameTakenError
from webconsole.auth.password import WeakPasswordError
from webconsole.auth.session import WebSession
from webconsole.auth.sign_in import SignInRefusedError, WrongCodeError
from webconsole.auth.throttle import Throttle, ThrottledError

if TYPE_CHECKING:
    from conftest import House

HERE = "127.0.0.1"


def code_now(secret: str, ahead_s: int = 0) -> str:
    generator = TOTP(b32decode(secret), 6, SHA1(), 30)  # noqa: S303
    return generator.generate(int(time.time()) + ahead_s).decode()


def enrolled(house: House, username: str) -> tuple[Account, str]:
    account = house.account(username, Role.CUSTODIAN)
    with house.db.writing() as work:
        row = work.get_one(Account, account.id)
        secret = totp.enrol(row, house.context.signer.private_text)
        row.totp_confirmed = True
    return account, secret


# Passwords


def test_a_password_is_hashed_with_argon2id_at_the_tuned_cost() -> None:
    began = time.perf_counter()
    phc = passwords.hash_password("a long enough password")
    assert time.perf_counter() - began > 0.02
    assert phc.startswith("$argon2id$v=19$m=65536,t=2,p=1$")
    assert passwords.matches("a long enough password", phc)
    assert not passwords.matches("a long enough passwore", phc)
    assert not passwords.is_outdated(phc)


def test_nobody_costs_as_much_as_somebody() -> None:
    phc = passwords.hash_password("a long enough password")
    passwords.matches("warm", "")
    spent = []
    for stored in (phc, ""):
        began = time.process_time()
        assert not passwords.matches("wrong password", stored)
        spent.append(time.process_time() - began)
    assert 0.5 < spent[1] / spent[0] < 2.0


def test_the_same_letters_typed_another_way_are_the_same_password(cheap_passwords: None) -> None:
    assert passwords.matches("\uff21ngstr\u00f6m \ufb01ne", passwords.hash_password("Angstro\u0308m fine"))


@pytest.mark.parametrize("weak", ["", "short", "aaaaaaaaaaaaaa", "li.wei.zhang", "x" * 2000])
def test_weak_passwords_are_refused(weak: str) -> None:
    with pytest.raises(WeakPasswordError):
        passwords.check_strength(weak, "Li.Wei.Zhang")


def test_any_bytes_can_be_tried(cheap_passwords: None) -> None:
    assert not passwords.matches("\ud800\x00", passwords.hash_password("evidence stays"))


# Accounts


def test_creating_an_account_is_an_entry_without_the_password(house: House) -> None:
    account = house.account("li.wei", Role.CUSTODIAN, Role.REVIEWER)
    with house.db.reading() as work:
        row = work.scalars(select(OutboxRow).where(OutboxRow.type == "account")).one()
    submission = open_submission(row.note.encode(), {"console": house.context.signer.verifier})
    leaf: Leaf = submission.leaf
    assert leaf.facts == {"event": "created", "account": account.id, "roles": ["custodian", "reviewer"]}
    assert row.body is not None
    assert row.body["fields"] == {"username": "li.wei", "name": "Li.Wei"}
    assert "argon2" not in row.note + str(row.body)


def test_replaying_the_entry_keeps_the_password(house: House) -> None:
    account = house.account("li.wei", Role.CUSTODIAN)
    with house.db.writing() as work:
        row = work.scalars(select(OutboxRow).where(OutboxRow.type == "account")).one()
        leaf = open_submission(row.note.encode(), {"console": house.context.signer.verifier}).leaf
        assert row.body is not None
        accounts.apply_account(work, AppliedEntry(leaf, row.body["fields"], 7))
        assert work.get_one(Account, account.id).password_hash == account.password_hash
        work.execute(text("DELETE FROM account"))
        work.expire_all()
        accounts.apply_account(work, AppliedEntry(leaf, row.body["fields"], 7))
        back = work.get_one(Account, account.id)
        assert (back.username, back.role_set, back.password_hash) == ("li.wei", {Role.CUSTODIAN}, "")


@pytest.mark.parametrize("username", ["", " ", "a b", "-a", "李", "a" * 65, "a/b", "a\u0000"])
def test_usernames_that_cannot_be(house: House, username: str) -> None:
    with house.db.writing() as work, pytest.raises(UsernameError):
        accounts.create_account(work, house.context.submitter, username, "N", [Role.HEAD], house.password)


def test_a_username_is_taken_in_any_spelling(house: House) -> None:
    house.account("li.wei", Role.HEAD)
    with pytest.raises(UsernameTakenError):
        house.account("LI.Wei ", Role.HEAD)


def test_a_role_of_a_later_release_gives_nothing(house: House) -> None:
    account = house.account("li.wei", Role.HEAD)
    account.roles = ["head", "emperor"]
    assert account.role_set == {Role.HEAD}


# Signing in


def test_everything_wrong_is_refused_alike(house: House) -> None:
    closed = house.account("closed", Role.HEAD)
    with house.db.writing() as work:
        work.execute(update(Account).where(Account.id == closed.id).values(disabled=True))
    said = set()
    for username, password in (("nobody", house.password), ("closed", house.password), ("", "")):
        with pytest.raises(SignInRefusedError) as refused:
            sign_in.sign_in(house.context, username, password, HERE)
        said.add(str(refused.value))
    assert len(said) == 1


def test_the_old_session_ends_at_sign_in(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    first = sign_in.sign_in(house.context, "wang", house.password, HERE)
    found = session.find(house.db, first.token)
    assert found is not None
    second = sign_in.sign_in(house.context, "wang", house.password, HERE, found.session_id)
    assert session.find(house.db, first.token) is None
    assert session.find(house.db, second.token) is not None


def test_a_weaker_hash_is_renewed_at_sign_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    monkeypatch.setattr(guessable, "MEMORY_KIB", 128)
    sign_in.sign_in(house.context, "wang", house.password, HERE)
    with house.db.reading() as work:
        assert "m=128" in work.get_one(Account, account.id).password_hash


def test_the_database_holds_no_token(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    begun = sign_in.sign_in(house.context, "wang", house.password, HERE)
    with house.db.reading() as work:
        stored = work.execute(text("SELECT * FROM web_session")).all()
    assert begun.token not in str(stored)


# The throttle


def test_five_wrong_tries_make_the_right_one_wait(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            sign_in.sign_in(house.context, "WANG", "wrong", HERE)
    with pytest.raises(ThrottledError) as refused:
        sign_in.sign_in(house.context, "wang", house.password, HERE)
    assert 1 <= int(str(refused.value.parameters["seconds"])) <= 15


def test_nobody_locks_somebody_else_out(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            sign_in.sign_in(house.context, "wang", "wrong", HERE)
    assert sign_in.sign_in(house.context, "wang", house.password, "10.0.0.9").token


def test_sixteen_tries_at_once_are_five(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.account("wang", Role.CUSTODIAN)
    checked, all_in = [], threading.Barrier(16)
    monkeypatch.setattr(passwords, "matches", lambda password, _phc: checked.append(password) or False)

    def guess(number: int) -> bool:
        all_in.wait()
        try:
            sign_in.sign_in(house.context, "wang", f"guess {number}", HERE)
        except ThrottledError:
            return False
        except SignInRefusedError:
            return True
        raise AssertionError

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(guess, range(16))) == 5
    assert len(checked) == 5


def test_a_name_guessed_from_everywhere_waits_a_minute_at_most(house: House) -> None:
    with house.db.writing() as work:
        for i in range(110):
            with suppress(ThrottledError):
                throttle.admit(work, throttle.keys_for("wang", f"10.0.0.{i}"))
        row = work.scalars(select(Throttle).where(Throttle.kind == "username")).one()
        assert row.blocked_until is not None
        assert 0 < (row.blocked_until - utc_now()).total_seconds() <= 60


def test_the_password_alone_does_not_forgive_wrong_codes(house: House) -> None:
    enrolled(house, "wang")
    waiting = session.find(house.db, sign_in.sign_in(house.context, "wang", house.password, HERE).token)
    assert waiting is not None
    for _ in range(4):
        with pytest.raises(WrongCodeError):
            sign_in.give_code(house.context, waiting, "000000", HERE)
    sign_in.sign_in(house.context, "wang", house.password, HERE)
    with house.db.reading() as work:
        assert {row.failures for row in work.scalars(select(Throttle))} == {4}


@pytest.mark.parametrize("change", ["password", "factor", "disabled"])
def test_what_is_taken_away_ends_the_sessions(house: House, change: str) -> None:
    house.account("wang", Role.CUSTODIAN)
    token = sign_in.sign_in(house.context, "wang", house.password, HERE).token
    with house.db.writing() as work:
        if change == "password":
            accounts.set_password(work, "wang", "another sentence of words")
        else:
            step = accounts.reset_factor if change == "factor" else accounts.disable_account
            step(work, house.context.submitter, "wang")
    assert session.find(house.db, token) is None
    with house.db.reading() as work:
        assert work.scalars(select(WebSession)).all() == []


def test_a_closed_account_stays_closed_when_its_factor_is_taken_away(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        accounts.disable_account(work, house.context.submitter, "wang")
        accounts.reset_factor(work, house.context.submitter, "wang")
        assert accounts.get_account(work, "wang").disabled


def test_a_name_that_nobody_has_waits_as_well(house: House) -> None:
    for _ in range(5):
        with pytest.raises(SignInRefusedError):
            sign_in.sign_in(house.context, "nobody", "wrong", HERE)
    with pytest.raises(ThrottledError):
        sign_in.sign_in(house.context, "nobody", "wrong", HERE)
    with house.db.reading() as work:
        assert "nobody" not in str(work.execute(text("SELECT * FROM throttle")).all())


def test_one_address_cannot_try_many_names(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    for i in range(20):
        with pytest.raises(SignInRefusedError):
            sign_in.sign_in(house.context, f"name-{i}", "wrong", HERE)
    with pytest.raises(ThrottledError):
        sign_in.sign_in(house.context, "wang", house.password, HERE)
    assert sign_in.sign_in(house.context, "wang", house.password, "10.0.0.9").token


def test_waiting_doubles_to_a_quarter_of_an_hour_and_passes(house: House) -> None:
    keys = throttle.keys_for("wang", HERE)
    waits = []
    with house.db.writing() as work:
        for _ in range(16):
            work.execute(update(Throttle).values(blocked_until=None))
            throttle.admit(work, keys)
            row = work.scalars(select(Throttle).where(Throttle.kind == "pair")).one()
            waits.append((row.blocked_until - row.last_at).total_seconds() if row.blocked_until else 0.0)
        assert waits[3:8] == [0, 15, 30, 60, 120]
        assert waits[-1] == 900
        work.execute(update(Throttle).values(blocked_until=utc_now() - timedelta(seconds=1)))
        throttle.admit(work, keys)


def test_the_right_password_forgives_the_name(house: House) -> None:
    house.account("wang", Role.CUSTODIAN)
    for _ in range(4):
        with pytest.raises(SignInRefusedError):
            sign_in.sign_in(house.context, "wang", "wrong", HERE)
    sign_in.sign_in(house.context, "wang", house.password, HERE)
    with house.db.reading() as work:
        assert {row.kind for row in work.scalars(select(Throttle))} == {"address"}


# Sessions


@pytest.mark.parametrize(
    "values",
    [
        {"seen_at": utc_now() - session.IDLE - timedelta(seconds=1)},
        {"expires_at": utc_now() - timedelta(seconds=1)},
    ],
)
def test_a_session_ends_when_idle_and_in_any_case(house: House, values: dict[str, object]) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        token = session.begin(work, account, HERE)
        work.execute(update(WebSession).values(**values))
    assert session.find(house.db, token) is None


def test_a_closed_account_has_no_session(house: House) -> None:
    account = house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        token = session.begin(work, account, HERE)
        work.execute(update(Account).values(disabled=True))
    assert session.find(house.db, token) is None


def test_use_keeps_a_session_alive_and_polling_does_not(house: House) -> None:
    account, early = house.account("wang", Role.CUSTODIAN), utc_now() - timedelta(minutes=20)
    with house.db.writing() as work:
        token = session.begin(work, account, HERE)
        work.execute(update(WebSession).values(seen_at=early))
    session.find(house.db, token, touch=False)
    with house.db.reading() as work:
        assert work.scalars(select(WebSession.seen_at)).one() == early
    session.find(house.db, token)
    with house.db.reading() as work:
        assert utc_now() - work.scalars(select(WebSession.seen_at)).one() < timedelta(seconds=10)


@pytest.mark.parametrize("token", [None, "", "x", "x" * 43, "ü" * 43, "\ud800" * 43])
def test_what_is_no_token_opens_nothing(house: House, token: str | None) -> None:
    assert session.find(house.db, token) is None


# The second factor


def test_a_code_opens_once(house: House) -> None:
    account, secret = enrolled(house, "wang")
    begun = sign_in.sign_in(house.context, "wang", house.password, HERE)
    assert begun.awaits_factor
    waiting = session.find(house.db, begun.token)
    assert waiting is not None
    assert waiting.awaits_factor
    code = code_now(secret)
    finished = sign_in.give_code(house.context, waiting, code, HERE)
    assert session.find(house.db, begun.token) is None
    found = session.find(house.db, finished.token)
    assert found is not None
    assert not found.awaits_factor
    again = session.find(house.db, sign_in.sign_in(house.context, "wang", house.password, HERE).token)
    assert again is not None
    with pytest.raises(WrongCodeError):
        sign_in.give_code(house.context, again, code, HERE)
    assert account.id == found.id


@pytest.mark.parametrize("code", ["", "000000000000", "ü", "12345a", "\ud800"])
def test_what_is_no_code_is_refused(house: House, code: str) -> None:
    account, _secret = enrolled(house, "wang")
    assert not totp.accept(account, house.context.signer.private_text, code)


def test_a_clock_that_is_half_a_minute_off_is_forgiven(house: House) -> None:
    account, secret = enrolled(house, "wang")
    with house.db.reading() as work:
        row = work.get_one(Account, account.id)
        assert totp.accept(row, house.context.signer.private_text, code_now(secret, -30))
        assert totp.accept(row, house.context.signer.private_text, code_now(secret, 30))
        assert not totp.accept(row, house.context.signer.private_text, code_now(secret))
        work.rollback()


def test_codes_are_throttled_like_passwords(house: House) -> None:
    enrolled(house, "wang")
    waiting = session.find(house.db, sign_in.sign_in(house.context, "wang", house.password, HERE).token)
    assert waiting is not None
    for _ in range(5):
        with pytest.raises(WrongCodeError):
            sign_in.give_code(house.context, waiting, "000000", HERE)
    with pytest.raises(ThrottledError):
        sign_in.give_code(house.context, waiting, "000000", HERE)


def test_the_secret_is_not_in_the_database_in_the_clear(house: House) -> None:
    account, secret = enrolled(house, "wang")
    with house.db.reading() as work:
        stored = work.get_one(Account, account.id).totp_secret
    assert stored is not None
    assert b32decode(secret) not in stored
    with pytest.raises(totp.FactorLostError):
        totp.secret_text(account_with(house, account.id), "another console's key")


def account_with(house: House, account_id: str) -> Account:
    with house.db.reading() as work:
        return work.get_one(Account, account_id)
