from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.house import BUCKET
from keeping.people import Keeping
from keeping.reading import client, reading

from vault.formats.age import AgeError
from vault.keyd import KeydRefusedError
from vault.log.bucket_rule import commitment
from vault.log.outbox import RowState, Submitter
from vault.log.submission import Draft
from vault.retention import closing
from vault.retention.certificate import certify
from vault.retention.closing import BucketOpenError, closable, close_bucket
from vault.retention.execution import NotSettledError, carry_out
from vault.retention.past import Past
from vault.retention.rewrapping import submit_rewrap
from vault.store.derived import DerivedStore, NoDerivativeError
from vault.store.keys import NoBucketError, ensure_bucket, open_body
from vault.store.objects import open_object

HELD = "H-2026-11"


@pytest.fixture(autouse=True)
def keyd(keeping: Keeping) -> Iterator[None]:
    with reading(keeping.house):
        yield


def gone(keeping: Keeping, two: list[str], *recordings: str) -> int:
    """Disposed of and carried out; gives the index of the disposal."""
    house = keeping.house
    place = keeping.index(keeping.dispose(recordings, two))
    carry_out(house.vault, house.reader, place, keeping.hands())
    house.settle()
    return place


def rewrap(keeping: Keeping, recording: str, bucket: str = HELD) -> str:
    """Re-wrap a held recording, as the command line does."""
    house = keeping.house
    grant = keeping.index(keeping.hold(recording))
    ensure_bucket(house.vault, bucket)
    slots = client(house, "bureau").rewrap(keeping.index(recording), bucket, grant=grant)
    with house.db.writing() as session:
        bureau = Submitter(house.key("bureau"), house.projections, house.bell)
        entry_id = submit_rewrap(session, bureau, None, recording, bucket, *slots)
    house.settle()
    assert keeping.why(entry_id) == ""
    return entry_id


def close(keeping: Keeping, bucket: str = BUCKET, **options: object) -> list[str]:
    house = keeping.house
    made = close_bucket(house.vault, house.reader, bucket, keeping.hands(**options), client(house, "sealer"))
    house.settle()
    return made


def test_a_bucket_whose_recordings_are_gone_is_closed_and_they_are_unreadable(
    keeping: Keeping, two: list[str], tmp_path: Path
) -> None:
    house = keeping.house
    recordings = [keeping.recording(), keeping.recording(b"y")]
    place = gone(keeping, two, *recordings)
    copy = Path(shutil.copytree(house.vault.path, tmp_path / "backup"))
    before = certify(Past(house.reader), place, keeping.policy)
    assert [(each.state, each.left) for each in before.recordings] == [("erased", (BUCKET,))] * 2
    [destroy] = close(keeping, copies=(copy,))
    said = house.reader.leaf(keeping.index(destroy))
    assert (said.about, said.facts["state"], said.facts["buckets"]) == (
        tuple(recordings),
        "unreadable",
        [BUCKET],
    )
    for directory in (house.vault.path, copy):
        assert not (directory / "keys/buckets" / BUCKET).exists()
    after = certify(Past(house.reader), place, keeping.policy)
    assert {each.state for each in after.recordings} == {"unreadable"}
    with pytest.raises(NoBucketError):
        house.keyring.bucket(BUCKET)


def test_closing_twice_says_it_once(keeping: Keeping, two: list[str]) -> None:
    gone(keeping, two, keeping.recording())
    assert close(keeping) == close(keeping)


def test_a_crash_while_a_bucket_ends_leaves_nothing_that_cannot_be_ended(
    keeping: Keeping, two: list[str]
) -> None:
    """What is kept passed the trial before the first byte was overwritten; afterwards nothing could pass it."""
    kept, place = keeping.recording(b"kept"), keeping.house.vault.keys_path / "buckets" / BUCKET
    rewrap(keeping, kept)
    index = gone(keeping, two, keeping.recording())
    identity = place / "identity.age"
    identity.write_bytes(bytes(identity.stat().st_size))
    client(keeping.house, "sealer")
    keeping.house.keyring.forget(BUCKET)
    assert close(keeping)
    assert not place.exists()
    [last] = certify(Past(keeping.house.reader), index, keeping.policy).recordings
    assert last.state == "unreadable"


def test_a_crash_between_two_statements_loses_neither(
    keeping: Keeping, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [gone(keeping, two, keeping.recording(content)) for content in (b"one", b"two")]
    real = closing.say_destroyed
    said: list[str] = []

    def once(*parts: object) -> str:
        if said:
            raise OSError(28, "No space left on device")
        said.append(real(*parts))  # type: ignore[arg-type]
        return said[-1]

    with monkeypatch.context() as patched:
        patched.setattr(closing, "say_destroyed", once)
        with pytest.raises(OSError, match="No space"):
            close(keeping)
    keeping.house.settle()
    assert len(close(keeping)) == 2
    for place in places:
        [last] = certify(Past(keeping.house.reader), place, keeping.policy).recordings
        assert last.state == "unreadable"


def test_a_bucket_that_came_back_is_not_called_gone(keeping: Keeping, two: list[str]) -> None:
    """A clock that fell back makes a bucket of that name anew; a `bucket` entry says so before anything lies in it."""
    house = keeping.house
    gone(keeping, two, keeping.recording())
    close(keeping)
    ensure_bucket(house.vault, BUCKET)
    keeping.submit("vaultd", Draft("bucket", facts=commitment(house.vault, BUCKET).facts()))
    later = gone(keeping, two, keeping.recording(b"later"))
    [last] = certify(Past(house.reader), later, keeping.policy).recordings
    assert (last.state, last.left) == ("erased", (BUCKET,))


def test_what_is_still_kept_keeps_the_bucket(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    kept = keeping.recording(b"kept")
    with pytest.raises(BucketOpenError, match=f"{kept} is still sealed to it"):
        close(keeping)
    gone(keeping, two, keeping.recording())
    assert closable(Past(house.reader), keeping.hands()) == []
    with pytest.raises(BucketOpenError, match=f"{kept} is still sealed to it"):
        close(keeping)
    assert (house.vault.keys_path / "buckets" / BUCKET).is_dir()


def test_what_is_disposed_of_and_not_erased_keeps_the_bucket(keeping: Keeping, two: list[str]) -> None:
    keeping.dispose([keeping.recording()], two)
    with pytest.raises(BucketOpenError, match="not erased yet"):
        close(keeping)


@pytest.mark.parametrize(
    ("bucket", "why"), [("facts", "no bucket of recordings"), ("A-2099-01", "month is not over")]
)
def test_what_is_never_closed(keeping: Keeping, bucket: str, why: str) -> None:
    with pytest.raises(BucketOpenError, match=why):
        close(keeping, bucket)


def test_something_on_its_way_in_keeps_the_bucket(keeping: Keeping, two: list[str]) -> None:
    gone(keeping, two, keeping.recording())
    keeping.house.deposit(b"still in a bay")
    with pytest.raises(BucketOpenError, match="may still be sealed to it"):
        close(keeping)


def test_a_rotation_that_was_cut_short_keeps_the_bucket(keeping: Keeping, two: list[str]) -> None:
    """Its staging holds every identity a second time."""
    gone(keeping, two, keeping.recording())
    staging = keeping.house.vault.keys_path / "rotation"
    staging.mkdir()
    with pytest.raises(BucketOpenError, match="is not finished"):
        close(keeping)
    staging.rmdir()
    assert close(keeping)


def test_a_submission_that_waits_keeps_everything(keeping: Keeping, two: list[str]) -> None:
    gone(keeping, two, keeping.recording())
    keeping.house.case()
    with pytest.raises(NotSettledError):
        close(keeping)


# --- re-wraps


def test_a_held_recording_is_rewrapped_and_outlives_its_bucket(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    kept, content = keeping.recording(b"kept" * 100), b"kept" * 100
    gone(keeping, two, keeping.recording())
    rewrap(keeping, kept)
    close(keeping)
    place = keeping.index(kept)
    view = keeping.index(keeping.submit("console", Draft("view", about=(kept,), facts={})))
    file_key = client(house, "console").unwrap(place, grant=view)
    with open_object(house.vault, place, house.reader.leaf(place), file_key) as reader:
        assert reader.read() == content
    assert (house.vault.keys_path / "buckets" / HELD).is_dir()


def test_a_rewrap_brings_the_private_part_along(keeping: Keeping) -> None:
    house = keeping.house
    kept = keeping.recording()
    place = keeping.index(rewrap(keeping, kept))
    facts = house.reader.leaf(place).facts
    assert {"object_header_sha256", "body_header_sha256"} < set(facts)
    assert house.vault.slots.body_slot(place)
    assert house.keyring.file_key(house.vault.slots.body_slot(place) or b"", HELD)
    assert open_body(house.vault, keeping.index(kept), house.reader.leaf(keeping.index(kept)), house.keyring)


def test_a_rewrap_that_holds_another_key_closes_nothing(keeping: Keeping, two: list[str]) -> None:
    """Whoever has the key of the command line can hand in any header; keyd tries it before the old one may end."""
    house = keeping.house
    kept, other = keeping.recording(b"kept"), keeping.recording(b"other")
    gone(keeping, two, keeping.recording())
    grants = {each: keeping.index(keeping.hold(each)) for each in (kept, other)}
    ensure_bucket(house.vault, HELD)
    slots = client(house, "bureau").rewrap(keeping.index(other), HELD, grant=grants[other])
    with house.db.writing() as session:
        bureau = Submitter(house.key("bureau"), house.projections, house.bell)
        submit_rewrap(session, bureau, None, kept, HELD, *slots)
        submit_rewrap(session, bureau, None, other, HELD, *slots)
    house.settle()
    assert not house.rows(RowState.REFUSED)
    with pytest.raises(KeydRefusedError, match="another key"):
        close(keeping)
    assert (house.vault.keys_path / "buckets" / BUCKET).is_dir()


def test_a_rewrap_that_nobody_can_open_locks_nobody_out(keeping: Keeping) -> None:
    house = keeping.house
    kept = keeping.recording()
    ensure_bucket(house.vault, HELD)
    slot = house.vault.slots.object_slot(keeping.index(kept)) or b""
    body = house.vault.slots.body_slot(keeping.index(kept))
    with house.db.writing() as session:
        bureau = Submitter(house.key("bureau"), house.projections, house.bell)
        entry_id = submit_rewrap(
            session, bureau, None, kept, HELD, slot, body
        )  # still sealed to the old bucket
    house.settle()
    assert keeping.why(entry_id) == ""
    view = keeping.index(keeping.submit("console", Draft("view", about=(kept,), facts={})))
    assert client(house, "console").unwrap(keeping.index(kept), grant=view)


def test_keyd_rewraps_only_for_a_reason_on_the_log(keeping: Keeping) -> None:
    house = keeping.house
    kept, other = keeping.recording(), keeping.recording(b"other")
    ensure_bucket(house.vault, HELD)
    view = keeping.index(keeping.submit("console", Draft("view", about=(kept,), facts={})))
    for grant in (view, keeping.index(keeping.hold(other))):
        with pytest.raises(KeydRefusedError, match="no reason to re-wrap"):
            client(house, "bureau").rewrap(keeping.index(kept), HELD, grant=grant)
    grant = keeping.index(keeping.hold(kept))
    with pytest.raises(KeydRefusedError, match="facts is no bucket of recordings"):
        client(house, "bureau").rewrap(keeping.index(kept), "facts", grant=grant)
    with pytest.raises(NoBucketError):
        client(house, "bureau").rewrap(
            keeping.index(kept), "H-2000-01", grant=keeping.index(keeping.hold(kept))
        )


def test_the_sealer_gets_no_key_and_only_the_bureau_a_rewrap(keeping: Keeping) -> None:
    house = keeping.house
    place = keeping.index(keeping.recording())
    grant = keeping.index(keeping.hold(house.reader.leaf(place).id))
    with pytest.raises(KeydRefusedError, match="sealer may not ask for unwrap"):
        client(house, "sealer").unwrap(place, grant=grant)
    for name in ("worker", "console"):
        with pytest.raises(KeydRefusedError, match=f"{name} may not ask for rewrap"):
            client(house, name).rewrap(place, HELD, grant=grant)
    with pytest.raises(KeydRefusedError, match="is still there"):
        client(house, "sealer").forget(BUCKET)


def test_a_derivative_is_made_in_the_bucket_that_its_parent_lies_in(keeping: Keeping) -> None:
    house = keeping.house
    kept = keeping.recording()
    derived = DerivedStore(house.directory / "derived", house.vault)
    parent = house.reader.leaf(keeping.index(kept))
    early = derived.write(parent, "poster", "image/jpeg", [b"early"], house.key("worker"))
    rewrap(keeping, kept)
    late = derived.write(parent, "proxy", "video/mp4", [b"late"], house.key("worker"))
    with pytest.raises(AgeError):
        house.keyring.file_key(late.key_slot, BUCKET)
    view = keeping.index(keeping.submit("console", Draft("view", about=(kept,), facts={})))
    for made in (early, late):
        assert client(house, "console").unwrap_derived(
            made.note, made.key_slot, keeping.index(kept), grant=view
        )


def test_a_derivative_that_comes_too_late_does_not_stay(keeping: Keeping, two: list[str]) -> None:
    """The worker had its key before the disposal, and is done after it."""
    house = keeping.house
    recording = keeping.recording()
    parent = house.reader.leaf(keeping.index(recording))
    derived = DerivedStore(house.directory / "derived", house.vault)

    def slowly() -> Iterator[bytes]:
        yield b"the first"
        gone(keeping, two, recording)
        derived.directory.joinpath(recording[-2:].lower(), recording).mkdir(parents=True, exist_ok=True)
        yield b" and the last"

    with pytest.raises((NoDerivativeError, OSError)):
        derived.write(parent, "proxy", "video/mp4", slowly(), house.key("worker"))
    assert derived.list(recording) == []
    late = derived.write
    with pytest.raises(NoDerivativeError, match="its recording is gone"):
        late(parent, "poster", "image/jpeg", [b"picture"], house.key("worker"))
    assert not list(derived.directory.rglob("*.age"))


def test_a_recording_in_two_buckets_is_unreadable_when_both_are_gone(
    keeping: Keeping, two: list[str]
) -> None:
    house = keeping.house
    kept = keeping.recording()
    hold = rewrap_hold(keeping, kept, two)
    assert hold
    place = gone(keeping, two, kept)
    assert [house.reader.leaf(keeping.index(each)).facts["state"] for each in close(keeping)] == ["erased"]
    [last] = certify(Past(house.reader), place, keeping.policy).recordings
    assert (last.state, last.left) == ("erased", (HELD,))
    assert [house.reader.leaf(keeping.index(each)).facts["state"] for each in close(keeping, HELD)] == [
        "unreadable"
    ]
    [last] = certify(Past(house.reader), place, keeping.policy).recordings
    assert (last.state, last.left) == ("unreadable", ())


def rewrap_hold(keeping: Keeping, kept: str, two: list[str]) -> str:
    """Re-wrapped for a hold that has ended since."""
    rewrap(keeping, kept)
    chronicle = [leaf for leaf in keeping.house.reader.leaves() if leaf.type == "hold"]
    hold = chronicle[-1].id
    facts: dict[str, object] = {"hold": hold}
    facts["approvals"] = keeping.approvals("release", (kept,), facts, two[:1])
    entry_id = keeping.submit("console", Draft("release", about=(kept,), facts=facts))
    assert keeping.why(entry_id) == ""
    return hold
