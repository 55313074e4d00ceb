from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.disk import Disk, NoMountError, room, without_flags
from crash.house import Foundation, House
from keeping.people import HALF_A_YEAR, Keeping

from vault import sealer as sealer_module
from vault.formats.merkle import bundle_path, tile_path
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.retention.execution import carry_out
from vault.sealer import ForkedError, Sealer, clear, worm_state
from vault.store.worm import Flag, flags, is_immutable, take_off


@pytest.fixture
def worm_house(foundation: Foundation) -> Iterator[House]:
    """A house on an ext4 of its own, which goes as a whole: immutable files would outlive an ordinary clean-up."""
    with room() as place:
        try:
            disk = Disk("ext4", place / "disk.img", place / "disk")
        except NoMountError as cause:
            pytest.skip(f"loop mounts are not permitted here: {cause}")
        house = House.copy(foundation, disk.place / "house")
        yield house
        house.close()
        disk.unmount()


def many_cases(house: House, count: int) -> None:
    with house.db.writing() as session:
        submitter = Submitter(house.key("console"), house.projections, house.bell)
        for _ in range(count):
            submitter.submit(session, Draft("case"))
    house.settle()


def test_a_sealed_object_becomes_immutable_and_an_unsealed_one_does_not(worm_house: House) -> None:
    recording = worm_house.ingest(b"footage" * 1000)
    Sealer(worm_house.vault).step()
    assert not is_immutable(worm_house.vault.incoming_path(recording))
    worm_house.settle()
    sealer = Sealer(worm_house.vault)
    assert sealer.step() == worm_house.reader.size
    assert is_immutable(worm_house.vault.object_path(recording))
    assert flags(worm_house.vault.path / "objects") == Flag.APPEND_ONLY
    with pytest.raises(PermissionError):
        worm_house.vault.object_path(recording).unlink()
    later = worm_house.ingest(b"more")
    worm_house.settle()  # the log goes on beside it
    assert sealer.step() > 0
    assert is_immutable(worm_house.vault.object_path(later))
    assert worm_house.verify().ok


def test_full_bundles_tiles_and_packs_become_immutable_and_the_edge_does_not(worm_house: House) -> None:
    many_cases(worm_house, 600)
    sealer = Sealer(worm_house.vault)
    sealer.step()
    log_path, packs = worm_house.vault.log_path, worm_house.vault.packs
    for number in (0, 1):
        for path in (log_path / bundle_path(number), log_path / tile_path(0, number), packs.path(number)):
            assert is_immutable(path), path
    assert not is_immutable(packs.path(2))
    assert not is_immutable(worm_house.vault.slots.path(0)), "a key must be destroyable"
    many_cases(worm_house, 300)  # vaultd starts anew, cuts its edge and fills the third bundle
    sealer.step()
    assert is_immutable(log_path / bundle_path(2))
    assert worm_house.verify().ok
    state = worm_state(worm_house.vault)
    assert (state.is_supported, state.is_whole, state.missing) == (True, True, [])
    assert state.total == 9


def test_a_new_sealer_goes_on_where_the_last_one_stopped(
    worm_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_cases(worm_house, 600)
    Sealer(worm_house.vault).step()
    asked: list[int] = []
    real = Sealer._seal_bundle
    monkeypatch.setattr(
        Sealer,
        "_seal_bundle",
        lambda self, number, first=0: asked.append(number) or real(self, number, first),
    )
    Sealer(worm_house.vault).step()
    assert asked == [2], "only the bundle at the edge is looked at again"


def test_a_flag_that_somebody_took_away_is_seen_and_put_back(
    worm_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many_cases(worm_house, 300)
    lost = worm_house.vault.packs.path(0)
    Sealer(worm_house.vault).step()
    take_off(lost, Flag.IMMUTABLE)
    state = worm_state(worm_house.vault)
    assert (state.is_whole, state.missing) == (False, [lost])
    monkeypatch.setattr(sealer_module, "FIRST_WALK_S", 0.0)
    Sealer(worm_house.vault).step()
    assert is_immutable(lost)
    assert "had lost its flag" in capsys.readouterr().out


def test_a_damaged_file_stays_changeable_for_its_repair(
    worm_house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = worm_house.ingest(b"footage")
    many_cases(worm_house, 300)
    path, tile = worm_house.vault.object_path(recording), worm_house.vault.log_path / tile_path(0, 0)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1])
    tile.write_bytes(bytes(32 * 256))
    Sealer(worm_house.vault).step()
    assert not is_immutable(path)
    assert not is_immutable(tile)
    assert "is damaged and stays changeable" in capsys.readouterr().out


def test_nothing_is_done_on_the_word_of_a_fork(worm_house: House, tmp_path: Path) -> None:
    log_path = worm_house.vault.log_path
    sealer = Sealer(worm_house.vault)
    sealer.step()
    older = (log_path / "checkpoint").read_bytes()
    recording = worm_house.ingest(b"footage")
    worm_house.settle()
    bundle = log_path / bundle_path(0, worm_house.reader.size)
    real = bundle.read_bytes()
    bundle.write_bytes(real.replace(b'"origin":"hand"', b'"origin":"dock"'))
    with pytest.raises(ForkedError, match="leads to another root"):
        sealer.step()
    assert not is_immutable(worm_house.vault.object_path(recording))
    bundle.write_bytes(real)
    sealer.step()
    (log_path / "checkpoint").write_bytes(older)
    with pytest.raises(ForkedError, match="does not continue"):
        sealer.run(threading.Event())


def test_a_file_system_without_flags_is_said_once_and_nothing_else_suffers(
    foundation: Foundation, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with without_flags(tmp_path / "ram") as place:
        house = House.copy(foundation, place / "house")
        house.ingest(b"footage")
        house.settle()
        sealer = Sealer(house.vault)
        for _ in range(3):
            sealer.step()
        assert capsys.readouterr().out.count("not immutable on this station") == 1
        state = worm_state(house.vault)
        assert (state.is_supported, state.is_whole, state.total) == (False, False, 1)
        house.close()


def disposal(house: House, recording: str) -> str:
    """An entry of the right type; whether it may stand is for vault.retention, which `carry_out` asks."""
    facts = {"schedule": recording, "basis": "test", "approvals": []}
    return house.submit("console", Draft("dispose", about=(recording,), facts=facts))


def test_a_disposal_is_carried_out_until_the_log_says_so(
    worm_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer_module, "AGAIN_S", 0.0)
    recording = worm_house.ingest(b"footage")
    dispose = disposal(worm_house, recording)
    worm_house.settle()
    carried: list[int] = []
    place = worm_house.row(dispose).entry_index

    def carry_out(index: int) -> None:
        carried.append(index)
        path = worm_house.vault.object_path(recording)
        if len(carried) == 1:
            raise PermissionError(13, "the first try meets a disk that refuses")
        if path.exists():
            clear(path)
            path.unlink()

    sealer = Sealer(worm_house.vault, carry_out)
    sealer.step()
    assert carried == [place]
    assert is_immutable(worm_house.vault.object_path(recording))
    sealer.step()
    assert not worm_house.vault.object_path(recording).exists()
    Sealer(worm_house.vault, carry_out).step()  # a restart before anything on the log says that it was done
    assert carried == [place] * 3
    worm_house.submit(
        "sealer",
        Draft("destroy", about=(recording,), facts={"dispose": dispose, "state": "erased", "buckets": []}),
    )
    worm_house.settle()
    sealer.step()
    Sealer(worm_house.vault, carry_out).step()
    assert carried == [place] * 3


def test_without_the_stations_wish_no_flag_is_set(worm_house: House) -> None:
    recording = worm_house.ingest(b"footage")
    worm_house.settle()
    Sealer(worm_house.vault, immutable=False).step()
    assert not is_immutable(worm_house.vault.object_path(recording))
    assert flags(worm_house.vault.path / "objects") == Flag(0)


def test_the_sealer_never_looks_into_the_database(worm_house: House) -> None:
    recording = worm_house.ingest(b"footage")
    worm_house.settle()
    worm_house.db.close()
    (worm_house.directory / "house.db").write_bytes(b"whatever somebody wrote here")
    Sealer(worm_house.vault).step()
    assert is_immutable(worm_house.vault.object_path(recording))


def test_it_stops_when_it_is_told_and_survives_a_disk_that_refuses(
    worm_house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop, tries = threading.Event(), []

    def fail(_: object) -> int:
        tries.append(1)
        if len(tries) == 3:
            stop.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Sealer, "_check", fail)
    Sealer(worm_house.vault, look_s=0.01).run(stop)
    assert len(tries) == 3
    assert "tries again" in capsys.readouterr().out


def test_an_immutable_recording_goes_when_two_people_signed_and_not_before(worm_house: House) -> None:
    """With the real rules and the real hands (vault.retention): the only way out of the vault."""
    keeping = Keeping(worm_house)
    keeping.begin()
    keeping.ahead = HALF_A_YEAR
    people = [keeping.person("custodian"), keeping.person("head")]
    doomed, kept = keeping.recording(b"doomed"), keeping.recording(b"kept")

    def carry(index: int) -> None:
        carry_out(worm_house.vault, worm_house.reader, index, keeping.hands(clear=clear))

    sealer = Sealer(worm_house.vault, carry)
    sealer.step()
    path = worm_house.vault.object_path(doomed)
    assert is_immutable(path)
    assert keeping.why(keeping.dispose([doomed], people[:1]))
    sealer.step()
    assert is_immutable(path), "one signature is none"
    assert keeping.why(keeping.dispose([doomed], people)) == ""
    sealer.step()
    worm_house.settle()
    sealer.step()
    assert not path.exists()
    assert worm_house.reader.leaf(worm_house.reader.size - 1).type == "destroy"
    assert is_immutable(worm_house.vault.object_path(kept))
    assert worm_state(worm_house.vault).is_whole
