from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from crash.house import House
from keeping.people import Keeping
from support.root import opener

from core.clock import new_id
from core.durable import create_once
from vault.formats.approval import ApprovalError
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt
from vault.keyd import Keyd
from vault.log.edge import LogDamagedError
from vault.log.index import EntryRow, receipt_of, reindex
from vault.log.outbox import RefusedError, RowState
from vault.log.submission import Draft
from vault.retention import erasure
from vault.retention.erasure import EraseError
from vault.retention.execution import NotSettledError, PagesLeftError, WrongCopyError, carry_out, waiting
from vault.retention.order import NoOrderError
from vault.store.derived import DerivedStore
from vault.store.objects import DisposedError, open_object

CONTENT = b"footage" * 1000


def disposed(keeping: Keeping, two: list[str], count: int = 1) -> tuple[list[str], int]:
    recordings = [keeping.recording(CONTENT + bytes([place])) for place in range(count)]
    return recordings, keeping.index(keeping.dispose(recordings, two))


def pairs(house: House, *places: int) -> bytes:
    raw = house.vault.slots.path(0).read_bytes()
    return b"".join(raw[place * 512 : place * 512 + 512] for place in places)


def test_after_it_is_carried_out_keys_object_and_derivatives_are_gone(
    keeping: Keeping, two: list[str]
) -> None:
    house = keeping.house
    recordings, place = disposed(keeping, two, 2)
    kept = keeping.recording(b"kept")
    derived = DerivedStore(house.directory / "derived", house.vault)
    derived.write(
        house.reader.leaf(keeping.index(recordings[0])),
        "poster",
        "image/jpeg",
        [b"jpeg"],
        house.key("worker"),
    )
    with house.db.reading() as session:
        receipt = receipt_of(session, recordings[0])
    assert waiting(house.reader) == [place]
    destroy = carry_out(house.vault, house.reader, place, keeping.hands())
    house.settle()
    places = [keeping.index(each) for each in recordings]
    assert not any(pairs(house, *places))
    assert not any(house.vault.object_path(each).exists() for each in recordings)
    assert derived.list(recordings[0]) == []
    said = house.reader.leaf(keeping.index(destroy))
    assert (said.type, said.about, said.facts["state"]) == ("destroy", tuple(recordings), "erased")
    assert waiting(house.reader) == []
    assert any(pairs(house, keeping.index(kept)))
    assert house.vault.object_path(kept).exists()
    assert receipt
    assert Receipt.parse(receipt).verify(house.vault.verifier).id == recordings[0]
    with pytest.raises(DisposedError):
        open_object(house.vault, places[0], house.reader.leaf(places[0]), bytes(16))


def test_what_was_erased_is_erased_again_and_said_once(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    _, place = disposed(keeping, two)
    first = carry_out(house.vault, house.reader, place, keeping.hands())
    house.settle()
    assert carry_out(house.vault, house.reader, place, keeping.hands()) == first
    assert not house.rows(RowState.PENDING)


def test_a_crash_at_any_step_is_mended_by_doing_it_again(
    keeping: Keeping, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, step = keeping.house, 0
    while True:
        recordings, place = disposed(keeping, two, 2)
        with monkeypatch.context() as patch:
            counted = _fail_at(patch, step)
            try:
                carry_out(house.vault, house.reader, place, keeping.hands())
            except (EraseError, OSError):
                pass
            else:
                break
        assert counted() > step
        assert waiting(house.reader) == [place]
        carry_out(house.vault, house.reader, place, keeping.hands())
        house.settle()
        assert not any(pairs(house, *(keeping.index(each) for each in recordings)))
        assert not any(house.vault.object_path(each).exists() for each in recordings)
        step += 1
    assert step >= 8  # every write, fsync and unlink of two recordings


def _fail_at(patch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """Every write, fsync and unlink of the eraser counts; the one of that number fails."""
    calls = 0

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step + 1:
                raise OSError(5, "Input/output error")
            return real(*args, **options)

        return call

    patch.setattr(erasure, "_write", counting(erasure._write))
    patch.setattr(erasure, "fsync_directory", counting(erasure.fsync_directory))
    patch.setattr(Path, "unlink", counting(Path.unlink))
    return lambda: calls


def test_copies_that_a_crash_left_beside_the_log_go_too(keeping: Keeping, two: list[str]) -> None:
    """A copy of the pair alone, as vault.log.edge keeps it, holds a readable name in its private part."""
    house = keeping.house
    recordings, place = disposed(keeping, two)
    other = keeping.recording(b"other")
    pair, spared = pairs(house, keeping.index(recordings[0])), pairs(house, keeping.index(other))
    cut = house.vault.log_path / "cut" / "9-abcdef"
    cut.mkdir(parents=True)
    create_once(cut / "keys-slots-000.from-4608", spared + pair)
    carry_out(house.vault, house.reader, place, keeping.hands())
    assert (cut / "keys-slots-000.from-4608").read_bytes() == spared + bytes(512)


@pytest.mark.parametrize("length", [184, 300, 439])
def test_a_pair_that_a_crash_tore_goes_too(keeping: Keeping, two: list[str], length: int) -> None:
    """The private part's key comes first and may be whole where the header, by which to tell, is not."""
    house = keeping.house
    recordings, place = disposed(keeping, two)
    cut = house.vault.log_path / "cut" / "9-abcdef"
    cut.mkdir(parents=True)
    create_once(cut / "keys-slots-000.from-4608", pairs(house, keeping.index(recordings[0]))[:length])
    carry_out(house.vault, house.reader, place, keeping.hands())
    assert (cut / "keys-slots-000.from-4608").read_bytes() == bytes(length)


def test_no_name_stays_in_the_journal_of_the_database(keeping: Keeping, two: list[str]) -> None:
    """The outbox held it in the clear, and SQLite keeps earlier pages until its journal is emptied."""
    house = keeping.house
    name = b"unforgettable-name.mp4"
    draft = Draft(
        "ingest", facts={"origin": "hand"}, deposit=house.deposit(CONTENT), body={"path": name.decode()}
    )
    recording = house.submit("dockd", draft)
    house.settle()
    files = [path for path in house.directory.rglob("*.db*") if path.is_file()]
    assert any(name in path.read_bytes() for path in files)
    place = keeping.index(keeping.dispose([recording], two))
    with house.db.reading() as session:
        session.query(EntryRow).count()
        with pytest.raises(PagesLeftError):
            carry_out(house.vault, house.reader, place, keeping.hands())
        assert house.vault.object_path(recording).exists()
    carry_out(house.vault, house.reader, place, keeping.hands())
    assert not any(name in path.read_bytes() for path in house.directory.rglob("*.db*") if path.is_file())


def test_a_copy_of_the_vault_loses_the_recording_as_the_vault_does(
    keeping: Keeping, two: list[str], tmp_path: Path
) -> None:
    house = keeping.house
    recordings, place = disposed(keeping, two)
    copy = Path(
        shutil.copytree(house.vault.path, tmp_path / "backup" / "vault")
    )  # as `sealdock backup` lays it out
    carry_out(house.vault, house.reader, place, keeping.hands(copies=(copy.parent,)))
    raw = (copy / "keys/slots/000").read_bytes()
    assert not any(raw[keeping.index(recordings[0]) * 512 :][:512])
    assert not (copy / house.vault.object_path(recordings[0]).relative_to(house.vault.path)).exists()


def test_a_copy_that_is_none_stops_it_before_anything_goes(
    keeping: Keeping, two: list[str], tmp_path: Path
) -> None:
    house = keeping.house
    recordings, place = disposed(keeping, two)
    for wrong in (tmp_path / "nothing", house.vault.path):
        with pytest.raises(WrongCopyError, match="no copy of this vault"):
            carry_out(house.vault, house.reader, place, keeping.hands(copies=(wrong,)))
    assert house.vault.object_path(recordings[0]).exists()


def test_the_immutable_mark_is_taken_off_what_goes_and_nothing_else(keeping: Keeping, two: list[str]) -> None:
    house, cleared = keeping.house, list[Path]()
    recordings, place = disposed(keeping, two)
    carry_out(house.vault, house.reader, place, keeping.hands(clear=cleared.append))
    assert cleared == [house.vault.object_path(recordings[0])]


def test_nothing_goes_while_something_waits(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    recordings, place = disposed(keeping, two)
    house.case()
    with pytest.raises(NotSettledError, match="1 submissions wait"):
        carry_out(house.vault, house.reader, place, keeping.hands())
    assert house.vault.object_path(recordings[0]).exists()


def test_nothing_goes_for_an_entry_of_another_kind(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    disposed(keeping, two)
    with pytest.raises(NoOrderError, match="of another type"):
        carry_out(house.vault, house.reader, 1, keeping.hands())


def test_the_sealer_checks_the_approvals_itself(house: House) -> None:
    """vaultd without its rules, in the wrong hands: what it lets through is not carried out."""
    keeping = Keeping(house)
    keeping.begin()
    keeping.ahead = timedelta(days=190)
    two = [keeping.person("custodian"), keeping.person("head")]
    house.rules = type(house.rules)()
    recording = keeping.recording()
    place = keeping.index(keeping.dispose([recording], two[:1]))
    with pytest.raises(ApprovalError, match="1 of 2"):
        carry_out(house.vault, house.reader, place, keeping.hands())
    young = keeping.recording(b"young")
    keeping.ahead = timedelta(days=10)
    place = keeping.index(keeping.dispose([young], two))
    with pytest.raises(RefusedError, match="is kept until"):
        carry_out(house.vault, house.reader, place, keeping.hands())
    assert house.vault.object_path(recording).exists()


def test_a_log_whose_files_were_changed_orders_nothing(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    recordings, place = disposed(keeping, two)
    size = house.reader.size
    bundle = house.vault.log_path / f"tile/entries/000.p/{size}"
    bundle.chmod(0o640)
    bundle.write_bytes(
        bundle.read_bytes().replace(b'"hold"', b'"sold"').replace(two[0].encode(), new_id().encode())
    )
    with pytest.raises(LogDamagedError, match="another root"):
        carry_out(house.vault, house.reader, place, keeping.hands())
    assert house.vault.object_path(recordings[0]).exists()


def test_a_reindex_after_it_finds_the_recording_and_no_private_part(keeping: Keeping, two: list[str]) -> None:
    house = keeping.house
    _, place = disposed(keeping, two)
    carry_out(house.vault, house.reader, place, keeping.hands())
    house.settle()
    found = reindex(house.vault, house.keyring, house.db, house.projections)
    assert found.unavailable == ()
    assert found.entries == house.reader.size


def test_keyd_opens_nothing_from_the_entry_on(keeping: Keeping, two: list[str]) -> None:
    """Before anything is erased: the decision alone closes it, to viewers who were let in earlier as well."""
    house = keeping.house
    recording = keeping.recording()
    view = keeping.index(keeping.submit("console", Draft("view", about=(recording,), facts={})))
    keyd = Keyd(house.vault, opener(house.vault, house.keys), house.directory / "keyd.sock")
    keyd.adopt(house.keyring)
    ask = _asking(keyd, house.key("console"))
    assert ask("unwrap", object=keeping.index(recording), grant=view)["ok"]
    keeping.dispose([recording], two)
    refused = ask("unwrap", object=keeping.index(recording), grant=view)
    assert (refused["ok"], refused["code"]) == (False, "vault.disposed")


def _asking(keyd: Keyd, signer: SigningKey) -> Callable[..., dict[str, object]]:
    """Ask without a socket."""
    import json  # noqa: PLC0415

    from core.canonical import encode  # noqa: PLC0415
    from core.clock import stamp, utc_now  # noqa: PLC0415
    from vault.formats.note import sign_note  # noqa: PLC0415

    def ask(operation: str, **parameters: object) -> dict[str, object]:
        request = {"op": operation, "by": signer.name, "id": new_id(), "time": stamp(utc_now()), **parameters}
        note = sign_note(encode(request).decode() + "\n", signer).decode()
        return keyd.answer(json.dumps({"request": note}).encode())

    return ask
