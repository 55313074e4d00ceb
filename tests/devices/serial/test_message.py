from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.serial.checksum import checksum_of
from devices.serial.error import UnsendableError
from devices.serial.message import compose, find
from devices.serial.table import Checksum, SerialTable

CHECK = b"123456789"  # the check input of the CRC catalogues


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("sum8", b"DD"),
        ("xor8", b"31"),
        ("crc16-modbus", b"4B37"),
        ("crc16-xmodem", b"31C3"),
        ("crc32", b"CBF43926"),
    ],
)
def test_checksums_agree_with_the_catalogues(kind: str, check: bytes) -> None:
    assert checksum_of(CHECK, Checksum.model_validate({"kind": kind})) == check
    big = Checksum.model_validate({"kind": kind, "written": "big", "skip": 2, "stop_short": 1})
    assert checksum_of(b"<<" + CHECK + b">", big) == binascii.unhexlify(check)
    assert (
        checksum_of(CHECK, Checksum.model_validate({"kind": kind, "written": "little"}))
        == (binascii.unhexlify(check)[::-1])
    )


def test_a_request_is_its_template(shipped: SerialTable) -> None:
    assert compose(shipped.identify, {}, shipped.checksum) == b"$SDRID?*77\r\n"


@given(value=st.binary(max_size=40))
def test_no_value_adds_a_message_or_a_field(shipped: SerialTable, value: bytes) -> None:
    owner = shipped.write_owner
    assert owner is not None
    fields = dict.fromkeys(("serial", "officer_number", "unit_number", "unit_name"), b"1") | {
        "officer_name": value
    }
    try:
        message = compose(owner, fields, shipped.checksum)
    except UnsendableError:
        assert set(value) & set(b"$,*\r\n")
    else:
        assert message.count(b"\r\n") == 1
        assert message.count(b",") == 5
        assert message.count(b"*") == 1


@given(noise=st.binary(max_size=200), cut=st.integers(0, 40))
def test_a_whole_reply_is_found_behind_any_noise_and_a_cut_one_never(
    shipped: SerialTable, noise: bytes, cut: int
) -> None:
    reply = b"$SDRID,X1A0001,DSJ-7,1.4.2*3D\r\n"
    found = find(noise + reply, shipped.identify, shipped)
    assert found is not None
    assert found.values["serial"] == b"X1A0001"
    assert find(reply[:cut][:-1], shipped.identify, shipped) is None


@given(at=st.integers(1, 26), bit=st.integers(0, 7))
def test_one_wrong_bit_makes_it_noise(shipped: SerialTable, at: int, bit: int) -> None:
    reply = bytearray(b"$SDRID,X1A0001,DSJ-7,1.4.2*3D\r\n")
    reply[at] ^= 1 << bit
    assert find(bytes(reply), shipped.identify, shipped) is None


@given(st.binary(max_size=400))
def test_nothing_that_arrives_is_more_than_noise_or_a_reply(shipped: SerialTable, arrived: bytes) -> None:
    for _, step in shipped.steps():
        found = find(arrived, step, shipped)
        assert found is None or found.raw in arrived
