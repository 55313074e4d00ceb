from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from devices.profile import find_profile, load_profiles
from devices.serial.table import NESTED, STEPS, SerialTable

LEAST: dict[str, Any] = {
    "usb": [{"vendor": "0403", "product": "6001"}],
    "identify": {"send": "ID\r\n", "reply": r"ID (?P<serial>\w+)"},
    "switch": {"send": "GO\r\n"},
}


def test_the_least_exchange_is_who_are_you_and_switch() -> None:
    table = SerialTable.model_validate(LEAST)
    assert [name for name, _ in table.steps()] == ["identify", "switch"]
    assert table.knows("0403", "6001")
    assert not table.knows("0403", "6010")


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("identify.send", "ID {password}\r\n", "sends ['password']; allowed: ['checksum']"),
        ("identify.send", "ID {checksum}\r\n", "{checksum} is unknown in what is sent"),
        ("identify.send", "ID {\r\n", "a brace stands alone"),
        ("identify.send", "编号", "ASCII"),
        ("identify.send_hex", "55AA", "give 'send' or 'send_hex'"),
        ("identify.reply", "(", "is not a regular expression"),
        ("identify.reply", "ID", "the reply must give ['serial']"),
        ("identify.reply", "(?P<serial>.)(?P<battery>.)", "gives ['battery']; allowed"),
        ("identify.reply", "编(?P<serial>.)", "a reply is bytes"),
        ("identify.tries", 9, "less than or equal to 5"),
        ("identify.timeout_s", 3600, "less than or equal to 30"),
        ("identify.eval", "1", "Extra inputs"),
        ("identify.reply_fields", [{"kind": "constant", "hex": "55"}], "not both"),
        ("identify.refusals", [{"meaning": "refused"}], "give 'reply' or 'reply_fields'"),
        (
            "identify.refusals",
            [{"meaning": "refused", "reply_fields": [{"kind": "constant", "hex": "55"}]}],
            "all lines or all of fixed length",
        ),
        ("checksum", {"kind": "md5"}, "sum8"),
        ("checksum", {"kind": "sum8"}, "{checksum} is missing from what is sent"),
        ("usb", [], "at least 1"),
        ("usb", [{"vendor": "0403"}], "Field required"),
        ("clock", {"form": "%H:%M"}, "a form gives year to second"),
        ("clock", {"zone": "Mars/Base"}, "IANA"),
        ("password", {"send": "P{password}\r\n", "reply": "OK", "tries": 2}, "Input should be 1"),
        ("password", {"send": "P\r\n", "reply": "OK"}, "sends none of ['password']"),
        ("set_clock", {"send": "T{time}\r\n", "reply": "OK"}, "set_clock needs read_clock"),
        ("line", {"most_bytes": 1_000_000}, "4096"),
        ("line", {"baud": 12345}, "115200"),
        ("switch_timeout_s", 0, "greater than or equal to 1"),
    ],
)
def test_a_mistake_is_named(where: str, value: object, said: str) -> None:
    table = deepcopy(LEAST)
    *path, key = where.split(".")
    place = table[path[0]] if path else table
    place[key] = value
    with pytest.raises(ValidationError) as caught:
        SerialTable.model_validate(table)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([{"kind": "text", "name": "serial", "length": 7}], "begin with a constant"),
        ([{"kind": "constant", "hex": "55"}, {"kind": "text", "length": 7}], "has a 'name'"),
        ([{"kind": "constant", "hex": "55"}, {"kind": "text", "name": "serial"}], "has 'length'"),
        ([{"kind": "constant", "hex": "5"}], "pattern"),
        ([{"kind": "constant", "hex": "55", "length": 1}], "a constant has 'hex'"),
        ([{"kind": "constant", "hex": "55"}, *[{"kind": "text", "name": "serial", "length": 9}] * 2], "once"),
        (
            [{"kind": "constant", "hex": "55"}, {"kind": "text", "name": "serial", "length": 512}],
            "longer than line.most_bytes",
        ),
    ],
)
def test_a_mistake_in_a_binary_reply_is_named(fields: list[dict[str, object]], said: str) -> None:
    table = deepcopy(LEAST)
    table["identify"] = {"send_hex": "55 01", "reply_fields": fields}
    with pytest.raises(ValidationError) as caught:
        SerialTable.model_validate(table)
    assert said in str(caught.value)


def test_two_binary_replies_must_be_told_apart_by_their_beginnings() -> None:
    table = deepcopy(LEAST)
    table["identify"] = {
        "send_hex": "55 01",
        "reply_fields": [
            {"kind": "constant", "hex": "55 81"},
            {"kind": "text", "name": "serial", "length": 7},
        ],
        "refusals": [{"meaning": "refused", "reply_fields": [{"kind": "constant", "hex": "55"}]}],
    }
    with pytest.raises(ValidationError, match="begin with the same constant bytes"):
        SerialTable.model_validate(table)


def test_what_comes_after_the_receipt_needs_a_line_that_is_still_there(shipped: SerialTable) -> None:
    plain = shipped.model_dump(exclude_unset=True) | {"after_switch": "line_gone"}
    with pytest.raises(ValidationError, match="the line is gone by then"):
        SerialTable.model_validate(plain)


def test_every_table_below_is_known_to_the_reader_of_profiles() -> None:
    for (model, key), nested in NESTED.items():
        assert key in model.model_fields
        assert nested.model_config["extra"] == "forbid"
    assert set(STEPS) <= SerialTable.model_fields.keys()


def test_no_two_shipped_profiles_answer_to_one_locked_recorder() -> None:
    ids = [(one.vendor, one.product) for p in load_profiles() if p.serial for one in p.serial.usb]
    assert len(ids) == len(set(ids)) >= 1


def test_the_names_of_our_own_layout_tell_what_they_say() -> None:
    (footage,) = find_profile(load_profiles(), "enforcement-serial").footage
    name = "EVIDENCE/2026-11-23/X1A0001_060123_20261123081500_00007_IMP.mp4"
    fit = re.fullmatch(footage.files, name)
    assert fit is not None
    assert fit.groupdict() == {
        "serial": "X1A0001",
        "officer": "060123",
        "start": "20261123081500",
        "sequence": "00007",
    }
    assert re.fullmatch(find_profile(load_profiles(), "enforcement-storage").footage[0].files, name) is None
