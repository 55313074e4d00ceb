from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.condition import OWNER_LENGTHS, OwnerRecord, OwnerRecordError
from devices.serial.owner import owner_of, owner_values
from devices.serial.table import OwnerForm

PADDED = {"widths": {"officer_name": 64, "unit_name": 64}}


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
@pytest.mark.parametrize("pad", ["00", "20", "ff"])
def test_what_is_written_is_read_again(encoding: str, pad: str) -> None:
    record = OwnerRecord("X1A0001", "060123", "张伟", "110105000000", "朝阳分局 一队")
    form = OwnerForm.model_validate({"encoding": encoding, "pad": pad} | PADDED)
    values = owner_values(record, form)
    assert [len(value) for value in values.values()] == [7, 6, 64, 12, 64]
    assert owner_of(values, form) == record
    assert owner_of(owner_values(OwnerRecord(), form), form) == OwnerRecord()


@given(st.fixed_dictionaries({name: st.text(max_size=most + 1) for name, most in OWNER_LENGTHS.items()}))
def test_a_record_that_exists_is_written_and_read_again_or_refused(fields: dict[str, str]) -> None:
    for form in (OwnerForm(), OwnerForm.model_validate(PADDED)):
        try:
            record = OwnerRecord(**fields)
            values = owner_values(record, form)
        except OwnerRecordError:
            continue
        assert owner_of(values, form) == record


@given(st.dictionaries(st.sampled_from(sorted(OWNER_LENGTHS)), st.binary(max_size=70)))
def test_hostile_records_are_records_or_refused(values: dict[str, bytes]) -> None:
    for encoding in ("gbk", "utf-8", "ascii"):
        try:
            record = owner_of(values, OwnerForm.model_validate({"encoding": encoding}))
        except OwnerRecordError:
            continue
        assert len(record.officer_name) <= 32
        assert record.unit_name.isprintable()


def test_what_the_recorder_cannot_hold_is_said_before_anything_is_sent() -> None:
    with pytest.raises(OwnerRecordError, match="has no '🚓'"):
        owner_values(OwnerRecord(officer_name="🚓"), OwnerForm())
    with pytest.raises(OwnerRecordError, match="takes 34 bytes in the recorder, which has 32"):
        owner_values(OwnerRecord(officer_name="张" * 17), OwnerForm.model_validate({"widths": {}}))
