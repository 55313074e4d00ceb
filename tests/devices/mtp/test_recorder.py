from __future__ import annotations

import errno
import json
import os
import signal
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from devices.error import DepartedError
from devices.match import match
from devices.mtp.error import MtpSilentError, MtpToolMissingError, OtherDeviceError
from devices.mtp.facts import UNKNOWN_SIZE
from devices.mtp.recorder import FAR, MtpRecorder
from devices.profile import load_profiles
from devices.recorder import Recorder, RefusedFile, SourceFile

from .conftest import STORAGE, Docked, file, folder
from .scripted_worker import content


def only_file(recorder: MtpRecorder) -> SourceFile:
    (found,) = [one for one in recorder.files() if isinstance(one, SourceFile)]
    return found


def read(recorder: Recorder, source: SourceFile, step: int = 300_000) -> bytes:
    stream, got, room = recorder.open(source), b"", memoryview(bytearray(step))
    while count := stream.readinto(room):
        got += room[:count]
    stream.close()
    return got


def digest(seed: int, size: int) -> str:
    return sha256(content(seed, 0, size)).hexdigest()


def test_a_file_comes_in_pieces_and_is_byte_for_byte_the_recorders(docked: Docked) -> None:
    recorder = docked.recorder()
    source = only_file(recorder)
    assert (source.path, source.size) == (b"Card/DCIM/100MEDIA/MOV_0001.MP4", 5_000_001)
    assert source.modified_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert sha256(read(recorder, source)).hexdigest() == digest(3, source.size)


def test_the_device_says_who_it_is_and_a_profile_knows_it(docked: Docked) -> None:
    listing = docked.open()
    found = match(load_profiles(), listing.layout, "Model")
    assert found is not None
    recorder = listing.recorder(found)
    assert (found.id, recorder.transport) == ("mtp-camera", "mtp")
    assert (recorder.identity.serial, recorder.identity.vendor_id) == ("USB1", "1234")
    condition = recorder.condition
    assert (condition.battery_percent, condition.firmware) == (50, "2.4")
    assert (condition.free_bytes, condition.capacity_bytes) == (1 << 30, 1 << 34)
    assert condition.clock is None  # libmtp does not read it


def test_seeking_gives_the_bytes_at_that_place(docked: Docked) -> None:
    recorder = docked.recorder()
    source = only_file(recorder)
    stream, room = recorder.open(source), memoryview(bytearray(1000))
    for offset in (4_999_999, 17, 1 << 20, 1_500_000):
        stream.seek(offset)
        count = stream.readinto(room)
        assert bytes(room[:count]) == content(3, offset, count)
        assert count > 0
    stream.seek(source.size)
    assert stream.readinto(room) == 0


def test_two_files_may_be_read_by_turns(docked: Docked) -> None:
    docked.script["objects"].append(file(4, "MOV_0002.MP4", 3_000_000))
    recorder = docked.recorder()
    sources = [one for one in recorder.files() if isinstance(one, SourceFile)]
    streams = [recorder.open(source) for source in sources]
    got, room = [b"", b""], memoryview(bytearray(700_000))
    for _turn in range(12):
        for index, stream in enumerate(streams):
            got[index] += room[: stream.readinto(room)]
    assert [sha256(one).hexdigest() for one in got] == [digest(3, 5_000_001), digest(4, 3_000_000)]


@pytest.mark.parametrize("what", ["crash", "refuse"])
def test_a_dropped_session_goes_on_at_the_same_byte(docked: Docked, what: str) -> None:
    docked.script["faults"] = [{"where": "read at 2097152", "what": what}]
    recorder = docked.recorder()
    assert sha256(read(recorder, only_file(recorder))).hexdigest() == digest(3, 5_000_001)
    assert len(docked.links) == 2
    assert recorder.untouched() is not None


def test_a_silent_worker_is_killed_and_another_goes_on(docked: Docked) -> None:
    docked.silence_s = 4.0
    docked.script["faults"] = [{"where": "read at 3145728", "what": "hang"}]
    recorder = docked.recorder()
    assert sha256(read(recorder, only_file(recorder))).hexdigest() == digest(3, 5_000_001)
    with pytest.raises(ProcessLookupError):
        os.kill(docked.links[0].pid, 0)


def test_a_worker_that_is_killed_from_outside_is_replaced(docked: Docked) -> None:
    recorder = docked.recorder()
    source = only_file(recorder)
    stream, room = recorder.open(source), memoryview(bytearray(400_000))
    got = bytes(room[: stream.readinto(room)])
    os.kill(docked.links[0].pid, signal.SIGKILL)
    while count := stream.readinto(room):
        got += room[:count]
    assert sha256(got).hexdigest() == digest(3, 5_000_001)


def test_a_listing_that_drops_is_done_again(docked: Docked) -> None:
    docked.script["faults"] = [{"where": "list", "what": "crash"}]
    assert only_file(docked.recorder()).size == 5_000_001


def test_a_place_that_cannot_be_read_is_a_read_error_of_that_file(docked: Docked) -> None:
    docked.script["faults"] = [{"where": "read at 1048576", "what": "refuse", "always": True}]
    recorder = docked.recorder()
    with pytest.raises(OSError, match="said no") as caught:
        read(recorder, only_file(recorder))
    assert caught.value.errno == errno.EIO
    assert not isinstance(caught.value, DepartedError)


def test_another_device_in_its_place_is_not_read(docked: Docked) -> None:
    recorder = docked.recorder()
    stream, room = recorder.open(only_file(recorder)), memoryview(bytearray(10))
    stream.readinto(room)
    docked.script["faults"] = [{"where": "open", "what": "other"}]
    (docked.directory / "script.json").write_text(json.dumps(docked.script))
    os.kill(docked.links[0].pid, signal.SIGKILL)
    stream.seek(4_000_000)
    with pytest.raises(OtherDeviceError, match="ANOTHER"):
        stream.readinto(room)


def test_a_file_that_changed_between_two_sessions_is_not_gone_on_with(docked: Docked) -> None:
    recorder = docked.recorder()
    stream, room = recorder.open(only_file(recorder)), memoryview(bytearray(10))
    stream.readinto(room)
    docked.script["objects"][-1]["size"] = 5_000_002
    (docked.directory / "script.json").write_text(json.dumps(docked.script))
    os.kill(docked.links[0].pid, signal.SIGKILL)
    stream.seek(4_000_000)
    with pytest.raises(OSError, match="changed_while_reading"):
        stream.readinto(room)


def test_a_file_that_ends_early_is_never_taken_for_whole(docked: Docked) -> None:
    docked.script["objects"][-1]["real_size"] = 2 << 20
    recorder = docked.recorder()
    with pytest.raises(OSError, match="changed_while_reading"):
        read(recorder, only_file(recorder))


def test_a_recorder_that_leaves_is_departed(docked: Docked) -> None:
    docked.script["faults"] = [{"where": "read at 2097152", "what": "depart"}]
    recorder = docked.recorder()
    with pytest.raises(DepartedError):
        read(recorder, only_file(recorder))
    assert not recorder.present()
    assert recorder.has_departed(0)


def test_a_departure_is_heard_while_the_worker_hangs(docked: Docked) -> None:
    recorder = docked.recorder()
    source = only_file(recorder)
    os.kill(docked.links[0].pid, signal.SIGSTOP)
    docked.presence.depart()
    with pytest.raises(DepartedError):
        recorder.open(source)
    recorder.close()


def test_a_device_that_gives_whole_files_only_is_read_piece_by_piece_as_well(docked: Docked) -> None:
    docked.script["parts"] = False
    docked.script["objects"].append(file(4, "MOV_0002.MP4", 3 << 20))
    docked.script["faults"] = [{"where": "read at 2097152", "what": "crash"}]
    recorder = docked.recorder()
    first, second = [one for one in recorder.files() if isinstance(one, SourceFile)]
    assert sha256(read(recorder, first)).hexdigest() == digest(3, 5_000_001)
    stream, room = recorder.open(first), memoryview(bytearray(1000))
    stream.seek(2_500_000)
    count = stream.readinto(room)
    assert bytes(room[:count]) == content(3, 2_500_000, count)
    assert sha256(read(recorder, second)).hexdigest() == digest(
        4, 3 << 20
    )  # the first is given up in the middle


def test_beyond_four_gibibytes_android_reads_on(docked: Docked) -> None:
    docked.script["far"] = True
    docked.script["objects"][-1]["size"] = FAR + 3_000_000
    recorder = docked.recorder()
    source = only_file(recorder)
    stream, room = recorder.open(source), memoryview(bytearray(500_000))
    stream.seek(FAR - 1000)
    got = b""
    while count := stream.readinto(room):
        got += room[:count]
    assert got == content(3, FAR - 1000, 3_001_000)


def test_what_may_change_a_recorder_is_an_act_and_nothing_says_untouched(docked: Docked) -> None:
    docked.script["faults"] = [{"where": "read at 1048576", "what": "delete"}]
    recorder = docked.recorder()
    read(recorder, only_file(recorder))
    assert recorder.untouched() is None
    assert [act.command for act in recorder.condition.acts if act.changed] == ["MTP 0x100b DeleteObject x 1"]


def test_an_act_of_a_worker_that_died_is_not_forgotten(docked: Docked) -> None:
    docked.script["faults"] = [
        {"where": "read at 1048576", "what": "delete"}, {"where": "read at 2097152", "what": "crash"},
    ]  # fmt: skip
    recorder = docked.recorder()
    read(recorder, only_file(recorder))
    assert recorder.untouched() is None
    assert any(act.command == "MTP 0x1002 OpenSession x 2" for act in recorder.condition.acts)


def test_reading_alone_leaves_the_recorder_untouched_and_says_how_it_is_known(docked: Docked) -> None:
    recorder = docked.recorder()
    read(recorder, only_file(recorder))
    untouched = recorder.untouched()
    assert untouched is not None
    assert (untouched.method, untouched.holds) == ("read_only_transport", True)
    assert recorder.condition.acts
    assert not any(act.changed for act in recorder.condition.acts)


def test_what_no_profile_asks_for_is_not_listed(docked: Docked) -> None:
    docked.script["objects"] += [
        folder(5, "WhatsApp"), file(6, "private.jpg", 10, 5), file(7, "note.txt", 10, 0)
    ]  # fmt: skip
    shown = docked.open().layout.paths
    assert list(shown) == ["Card/", "Card/DCIM/", "Card/DCIM/100MEDIA/", "Card/DCIM/100MEDIA/MOV_0001.MP4"]


def test_hostile_names_twins_and_unknown_sizes_are_refused_aloud_and_the_rest_is_taken(
    docked: Docked,
) -> None:
    names = ["..", "", "a/b", "x\0y"]
    docked.script["objects"] += [file(10 + i, name, 10) for i, name in enumerate(names)]
    docked.script["objects"] += [file(20, "MOV_0001.MP4", 99), file(21, "HUGE.MP4", UNKNOWN_SIZE)]
    found = list(docked.recorder().files())
    reasons = [one.reason for one in found if isinstance(one, RefusedFile)]
    assert sorted(reasons) == ["unreadable", *["unsafe_name"] * 5]
    assert len([one for one in found if isinstance(one, SourceFile)]) == 1


def test_folders_that_hold_each_other_come_to_an_end(docked: Docked) -> None:
    objects = docked.script["objects"]
    objects.append({**folder(1, "DCIM", 2)})  # the top folder again, inside its own child
    refused = [one for one in docked.recorder().files() if isinstance(one, RefusedFile)]
    assert [one.reason for one in refused] == ["unreadable_directory"]


def test_a_deep_tree_is_cut_off(docked: Docked) -> None:
    docked.script["objects"] += [folder(100 + i, "d", 99 + i if i else 2) for i in range(60)]
    refused = [one for one in docked.recorder().files() if isinstance(one, RefusedFile)]
    assert [one.reason for one in refused] == ["too_deep"]


def test_storages_whose_names_are_no_names_get_their_number(docked: Docked) -> None:
    odd = [{**STORAGE, "id": 65538 + i, "name": name} for i, name in enumerate(["Card", "a/b", ""])]
    docked.script["storages"] += odd
    names = [one.name for one in docked.open().session.facts.storages]
    assert names == [b"Card", b"storage-00010002", b"storage-00010003", b"storage-00010004"]


def test_more_free_than_there_is_is_not_believed(docked: Docked) -> None:
    docked.script["storages"] = [{**STORAGE, "free": 1 << 40}]
    condition = docked.recorder().condition
    assert (condition.free_bytes, condition.capacity_bytes) == (None, 1 << 34)


def test_a_device_that_never_opens_a_session_says_what_to_do(docked: Docked) -> None:
    docked.script["faults"] = [{"where": "open", "what": "refuse", "always": True}]
    with pytest.raises(MtpSilentError, match="allow file transfer"):
        docked.open()


def test_a_station_without_libmtp_says_so(docked: Docked) -> None:
    docked.script["missing"] = True
    with pytest.raises(MtpToolMissingError, match="libmtp9"):
        docked.open()
