"""A key in the wrong hands: the log says so, the key goes out of force at once, and what is cut short goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from crash.house import House

from core.clock import stamp, utc_now
from vault.ceremony import compromise, signing
from vault.ceremony.compromise import NEXT_STEPS, declare
from vault.ceremony.extra import cosigners, make_extra, sm2_cosigner
from vault.ceremony.past import Past
from vault.ceremony.protocol import STEPS, Present, Protocol, enter_protocol
from vault.ceremony.session import Ceremony, CeremonyError, Said
from vault.formats.cosignature import CosignerKey, cosignatures
from vault.formats.note import Note
from vault.log.outbox import RefusedError, RowState
from vault.log.submission import Draft
from vault.store.keys import open_body
from vault.store.objects import Vault

SINCE = utc_now() - timedelta(hours=3)


class CutShortError(Exception):
    """Where the power went."""


def cut(patch: pytest.MonkeyPatch, place: object, name: str) -> None:
    def stop(*_: object, **__: object) -> None:
        raise CutShortError(name)

    patch.setattr(place, name, stop)


def declared(house: House) -> dict[str, str]:
    return Past.read(house.reader).compromised


def test_a_process_key_goes_out_of_force_in_the_same_batch(house: House) -> None:
    old = house.key("console")
    done = declare(house.vault, house.keys, "console", SINCE)
    *_, said, registered = house.reader.leaves()
    assert (said.type, said.facts) == (
        "compromise", {"name": "console", "vkey": old.vkey, "since": stamp(SINCE)},
    )  # fmt: skip
    assert (registered.type, registered.facts["vkey"]) == ("key", done.new_key)
    assert done.steps == NEXT_STEPS["process"]
    (house.keys / "console.key").unlink()
    (house.keys / "console.key").write_text(old.private_text)
    stolen = house.case()
    house.settle()
    assert house.row(stolen).state == RowState.REFUSED


def test_an_earlier_key_is_declared_without_touching_the_one_in_force(house: House) -> None:
    old = house.key("worker").vkey
    with Ceremony(house.vault, house.keys) as ceremony:
        newer = signing.rotate_process(ceremony, "worker")
    done = declare(house.vault, house.keys, "worker", SINCE, old)
    assert (done.key.vkey, done.new_key) == (old, None)
    assert house.key("worker").vkey == newer
    assert declared(house) == {old: stamp(SINCE)}


def test_the_logs_key_is_handed_over_and_the_old_one_leaves_the_policy(house: House) -> None:
    old = house.vault.verifier
    done = declare(house.vault, house.keys, "log", SINCE)
    vault = Vault.open(house.vault.path)
    assert vault.verifier.vkey == done.new_key != old.vkey
    assert vault.earlier == (old,)
    assert (vault.log_path / "policy").read_text() == f"log {vault.verifier.vkey}\nquorum none\n"
    later = House(house.directory, house.recovery_identity)
    assert declared(later) == {old.vkey: stamp(SINCE)}
    later.case()
    later.settle()
    later.close()


@pytest.mark.parametrize("name", ["root", "recovery"])
def test_a_reader_is_declared_and_the_person_is_told_to_rotate(house: House, name: str) -> None:
    done = declare(house.vault, house.keys, name, SINCE)
    assert done.key.vkey in declared(house)
    assert f"rotate {name}" in done.steps[0]


@pytest.mark.parametrize("name", ["console", "log"])
@pytest.mark.parametrize("step", ["take_place", "settle_log"])
def test_a_declaration_that_was_cut_short_never_turns_on_the_new_key(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str, step: str
) -> None:
    if (name, step) == ("console", "settle_log"):
        step = "create_once"
    old = house.key(name).vkey
    with monkeypatch.context() as patch:
        cut(patch, signing, step)
        with pytest.raises(CutShortError):
            declare(house.vault, house.keys, name, SINCE)
    done = declare(Vault.open(house.vault.path), house.keys, name, SINCE)
    later = House(house.directory, house.recovery_identity)
    assert declared(later) == {old: stamp(SINCE)}
    assert done.key.vkey == old
    assert later.key(name).vkey not in declared(later)
    assert not list(house.keys.glob("*.next"))
    later.close()


@pytest.mark.parametrize(("name", "vkey"), [("nobody", None), ("console", "console+00000000+AAAA")])
def test_a_key_that_the_log_never_named_is_not_declared(house: House, name: str, vkey: str | None) -> None:
    before = house.reader.size
    with pytest.raises(CeremonyError, match="names no such key"):
        declare(house.vault, house.keys, name, SINCE, vkey)
    assert house.reader.size == before


def test_nothing_is_declared_from_a_time_to_come(house: House) -> None:
    with pytest.raises(RefusedError, match="later time"):
        declare(house.vault, house.keys, "root", utc_now() + timedelta(days=1))


def test_every_next_step_names_what_to_do() -> None:
    assert all(steps and all(step.endswith(".") for step in steps) for steps in NEXT_STEPS.values())
    assert set(NEXT_STEPS) == {"process", "log", *compromise.READERS}


# --- the protocol


def test_a_protocol_says_who_was_there_and_only_to_whom_may_read(house: House) -> None:
    protocol = Protocol(
        "rotation", (Present("甲", "custodian"), Present("乙", "witness")), "档案室", "no remarks"
    )
    with Ceremony(house.vault, house.keys) as ceremony:
        leaf = enter_protocol(ceremony, protocol)
    index = house.reader.size - 1
    assert house.reader.leaf(index) == leaf
    assert leaf.facts == {"kind": "rotation"}
    body = open_body(house.vault, index, leaf, house.keyring)
    assert body == {
        "people": [{"name": "甲", "role": "custodian"}, {"name": "乙", "role": "witness"}],
        "place": "档案室", "note": "no remarks",
    }  # fmt: skip
    page = protocol.page(house.vault, leaf)
    for line in (
        leaf.id,
        house.vault.verifier.fingerprint,
        "custodian: 甲",
        *house.reader.checkpoint()[1].decode().split(),
    ):
        assert line in page
    assert house.verify().ok


def test_one_person_alone_holds_no_ceremony(house: House) -> None:
    with Ceremony(house.vault, house.keys) as ceremony, pytest.raises(CeremonyError, match="2 people"):
        enter_protocol(ceremony, Protocol("founding", (Present("甲", "custodian"),), "档案室"))


@pytest.mark.parametrize("text", ["", "甲", ":custodian", "甲: "])
def test_a_person_has_a_name_and_a_role(text: str) -> None:
    with pytest.raises(CeremonyError):
        Present.parse(text)


def test_every_kind_of_ceremony_has_steps() -> None:
    assert all(len(steps) >= 3 for steps in STEPS.values())


# --- second signatures


def test_an_mldsa_line_stands_below_the_logs_own(house: House) -> None:
    path, vkey = make_extra(house.keys, house.vault, "mldsa44")
    assert path.stat().st_mode & 0o777 == 0o400
    daemon = house.vaultd(cosigners=cosigners(house.keys))
    house.case()
    daemon.start()
    daemon.step()
    daemon.close()
    checkpoint, note = house.reader.checkpoint()
    first, second = Note.parse(note).signatures
    assert house.vault.verifier.made(first)
    [found] = cosignatures(note, [CosignerKey.parse(vkey)])
    assert found.line == second.line
    assert checkpoint.size == house.reader.size
    assert house.verify().ok


def test_without_further_keys_there_are_no_further_lines(house: House) -> None:
    assert cosigners(house.keys) == ()
    assert sm2_cosigner(house.keys, house.vault) is None


@pytest.mark.stock
def test_an_sm2_key_is_found_again(house: House) -> None:
    _, vkey = make_extra(house.keys, house.vault, "sm2")
    found = sm2_cosigner(house.keys, house.vault)
    assert found
    assert found.vkey == vkey


# --- only vaultd


@pytest.mark.parametrize("kind", ["root", "compromise", "ceremony", "bucket"])
def test_no_process_submits_what_a_ceremony_says(house: House, kind: str) -> None:
    entry = house.submit("console", Draft(kind, facts={"kind": "rotation"}))
    house.settle()
    assert house.row(entry).state == RowState.REFUSED


SHAPES: list[tuple[str, dict[str, object]]] = [
    ("root", {"root": "age1", "recovery": "age1"}),
    ("root", {"root": "x"}),
    ("compromise", {"name": "console", "vkey": "x", "since": "yesterday"}),
    ("compromise", {"name": "console", "vkey": "x", "since": stamp(SINCE), "more": 1}),
    ("ceremony", {"kind": "No Kind"}),
    ("bucket", {"name": "../x", "recipient": "age1", "sha256": "0"}),
]


@pytest.mark.parametrize(("kind", "facts"), SHAPES)
def test_facts_of_another_shape_are_refused(house: House, kind: str, facts: dict[str, object]) -> None:
    with Ceremony(house.vault, house.keys) as ceremony:
        with pytest.raises(RefusedError):
            ceremony.enter([Said(kind, facts)])
        assert ceremony.size == house.reader.size
