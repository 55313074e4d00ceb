from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.formats.age import KEY_SLOT_SIZE
from vault.formats.pack import (
    BodyPacks,
    KeySlots,
    PackError,
    Private,
    committed_length,
    encode_record,
    encode_slots,
    read_records,
)

SLOT = st.one_of(st.none(), st.binary(min_size=KEY_SLOT_SIZE, max_size=KEY_SLOT_SIZE).filter(any))
BODY = st.one_of(st.none(), st.binary(min_size=1, max_size=400))
PRIVATES = st.lists(st.builds(Private, BODY, SLOT, SLOT), min_size=1, max_size=300)


@given(PRIVATES)
def test_what_is_packed_comes_back_for_every_entry(
    tmp_path_factory: pytest.TempPathFactory, privates: list[Private]
) -> None:
    place = tmp_path_factory.mktemp("packs")
    slots, packs = KeySlots(place / "slots"), BodyPacks(place / "packs")
    for bundle in range((len(privates) + 255) // 256):
        part = privates[bundle * 256 : bundle * 256 + 256]
        for path, raw in (
            (slots.path(bundle), encode_slots(part)),
            (packs.path(bundle), b"".join(encode_record(private.body) for private in part)),
        ):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(raw)
    for index, private in enumerate(privates):
        assert slots.body_slot(index) == private.body_slot
        assert slots.object_slot(index) == private.object_slot
        assert packs.body(index) == private.body


@pytest.mark.parametrize("slot", [b"x", bytes(KEY_SLOT_SIZE - 1), b"x" * 5000])
def test_a_slot_never_reaches_its_neighbour(slot: bytes) -> None:
    for private in (Private(object_slot=slot), Private(b"x", slot)):
        with pytest.raises(ValueError, match="184 bytes or none"):
            encode_slots([private])


def test_slots_lie_where_the_format_says(tmp_path: Path) -> None:
    body, sealed = b"b" * KEY_SLOT_SIZE, b"o" * KEY_SLOT_SIZE
    raw = encode_slots([Private(), Private(b"x", body, sealed)])
    assert len(raw) == 1024
    assert raw[:512] == bytes(512)
    assert raw[512:768] == body + bytes(72)
    assert raw[768:] == sealed + bytes(72)
    assert KeySlots(tmp_path).path(1_234_067) == tmp_path / "x001/x234/067"


def test_zeros_and_nothing_at_all_are_no_slot(tmp_path: Path) -> None:
    (tmp_path / "000").write_bytes(bytes(512))
    slots = KeySlots(tmp_path)
    assert [slots.body_slot(0), slots.object_slot(0), slots.body_slot(1), slots.body_slot(256)] == [None] * 4


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 8])
def test_a_record_that_is_cut_off_is_damage(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "000"
    path.write_bytes(encode_record(b"first") + encode_record(b"second")[:cut])
    with pytest.raises(PackError, match="cut off"):
        list(read_records(path))
    with pytest.raises(PackError):
        BodyPacks(tmp_path).body(1)


def test_the_committed_length_ignores_what_comes_after_it(tmp_path: Path) -> None:
    path = tmp_path / "000"
    path.write_bytes(encode_record(b"one") + encode_record(None) + b"\0\0\0\x09torn")
    assert committed_length(path, 2) == len(encode_record(b"one")) + 4
    assert committed_length(path, 0) == 0


def test_fewer_records_than_the_log_has_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "000"
    path.write_bytes(encode_record(b"one"))
    with pytest.raises(PackError, match="1 records where the log has 2"):
        committed_length(path, 2)
    with pytest.raises(PackError, match="missing"):
        committed_length(tmp_path / "001", 1)
