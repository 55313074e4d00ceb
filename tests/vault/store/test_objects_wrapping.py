from __future__ import annotations

import pytest
from crash.house import House

from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from vault.formats.age import HEADER_SIZE, Recipient, header_for
from vault.formats.entry import Leaf
from vault.formats.pack import Private
from vault.log.writer import LogWriter
from vault.store.keys import bucket_recipient, ensure_bucket
from vault.store.objects import open_object
from vault.store.wrapping import Wrappings

HELD = "H-2026-11"
CONTENT = b"kept" * 1000


def sealed(house: House) -> tuple[int, Leaf]:
    entry_id = house.ingest(CONTENT)
    house.settle()
    place = house.row(entry_id).entry_index
    assert place is not None
    return place, house.reader.leaf(place)


def rewrapped(house: House, place: int, leaf: Leaf, bucket: str) -> int:
    """A re-wrap as it lies on the log; gives its index."""
    ensure_bucket(house.vault, bucket)
    recipient = Recipient.parse(bucket_recipient(house.vault, bucket))
    assert leaf.object
    assert leaf.body
    slots = []
    for slot, lies_in in (
        (house.vault.slots.object_slot(place), leaf.object.bucket),
        (house.vault.slots.body_slot(place), leaf.body.bucket),
    ):
        assert slot
        slots.append(header_for([recipient], house.keyring.file_key(slot, lies_in)) + slot[HEADER_SIZE:])
    facts = {
        "bucket": bucket, "object_header_sha256": sha256_hex(slots[0]), "body_header_sha256": sha256_hex(slots[1])
    }  # fmt: skip
    entry = Leaf(
        id=new_id(), type="rewrap", time=stamp(utc_now()), by="bureau", about=(leaf.id,), facts=facts
    )
    writer = LogWriter(house.vault, house.key("log"))
    at = writer.size
    writer.append([(entry, Private(None, slots[1], slots[0]))])
    writer.close()
    return at


def test_without_a_rewrap_the_keys_lie_where_the_recording_was_sealed(house: House) -> None:
    place, leaf = sealed(house)
    [only] = house.vault.wrappings.of(place, leaf)
    assert leaf.object
    assert leaf.body
    assert (only.index, only.bucket, only.object_header_sha256) == (
        place,
        leaf.object.bucket,
        leaf.object.header_sha256,
    )
    assert house.vault.wrappings.of_body(place, leaf) == [(place, leaf.body.bucket, leaf.body.header_sha256)]


def test_what_seals_nothing_has_no_keys(house: House) -> None:
    assert house.vault.wrappings.of(1, house.reader.leaf(1)) == []
    assert house.vault.wrappings.of_body(1, house.reader.leaf(1)) == []


def test_the_newest_comes_first_and_each_opens_the_same_object(house: House) -> None:
    place, leaf = sealed(house)
    known = Wrappings(house.vault.log_path)
    assert len(known.of(place, leaf)) == 1
    first, second = rewrapped(house, place, leaf, HELD), rewrapped(house, place, leaf, "K-2026-11")
    found = known.of(place, leaf)  # it reads on where it stopped
    assert [(each.index, each.bucket) for each in found[:2]] == [(second, "K-2026-11"), (first, HELD)]
    for each in found:
        slot = house.vault.slots.object_slot(each.index)
        assert slot
        assert sha256_hex(slot) == each.object_header_sha256
        key = house.keyring.file_key(slot, each.bucket)
        with open_object(house.vault, place, leaf, key) as reader:
            assert reader.read() == CONTENT
    bodies = known.of_body(place, leaf)
    assert [bucket for _, bucket, _ in bodies] == ["K-2026-11", HELD, leaf.body.bucket if leaf.body else ""]
    for at, bucket, digest in bodies:
        slot = house.vault.slots.body_slot(at)
        assert slot
        assert sha256_hex(slot) == digest
        assert house.keyring.file_key(slot, bucket)


@pytest.mark.parametrize("entries", [250, 300])
def test_a_log_of_more_than_one_bundle_is_read_whole(house: House, entries: int) -> None:
    place, leaf = sealed(house)
    known = Wrappings(house.vault.log_path)
    assert len(known.of(place, leaf)) == 1
    for _ in range(entries):
        house.case()
    house.settle()
    at = rewrapped(house, place, leaf, HELD)
    assert [each.index for each in known.of(place, leaf)] == [at, place]
    assert [each.index for each in Wrappings(house.vault.log_path).of(place, leaf)] == [at, place]


def test_a_vault_without_a_head_has_no_rewraps(house: House) -> None:
    place, leaf = sealed(house)
    (house.vault.log_path / "checkpoint").unlink()
    assert len(Wrappings(house.vault.log_path).of(place, leaf)) == 1
