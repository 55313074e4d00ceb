"""One recorder and what can happen to it, on a real vault."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from emulation.card import make_exfat, make_ext4, mounted, run
from emulation.described import Described
from emulation.dock import PASSPHRASE, PORTS, Station, wait_until
from emulation.failing_card import failing_card
from emulation.read_statement import leaves, statement
from sqlalchemy import select
from sqlalchemy.orm import Session

import ingest.statement
from core.digest import sha256_hex
from core.states import StateHistory
from devices.condition import Act, Condition
from devices.mass_storage import Medium, Presence
from devices.profile import FOLDER, find_profile, load_profiles
from devices.recorder import Identity
from ingest import offload, sample
from ingest.circumstance import Circumstance, Origin
from ingest.docking import DockingSession
from ingest.error import RefusedFileError
from ingest.offload import Offload
from ingest.outcome import Outcome
from ingest.recording import IngestRecording
from ingest.statement import IdentityBy
from ingest.status import BayStatus, Tile, TileState
from vault import founding
from vault.audit.verify import verify_vault
from vault.log.index import ReceiptRow
from vault.log.ledger import LogReader
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.store.objects import Vault

S = TileState
END = (S.SEALED, S.PARTIAL, S.FAULT, S.UNKNOWN)


def recordings(station: Station) -> list[IngestRecording]:
    with station.db.reading() as session:
        return list(session.scalars(select(IngestRecording)))


def sessions(station: Station) -> list[DockingSession]:
    with station.db.reading() as session:
        return list(session.scalars(select(DockingSession).order_by(DockingSession.id)))


def ingested(vault: Vault) -> Counter[str]:
    reader = LogReader(vault)
    size = reader.checkpoint()[0].size
    return Counter(leaf.object.sha256 for leaf in reader.leaves(0, size) if leaf.object is not None)


def camera(folder: Path, **files: bytes) -> Path:
    (folder / "DCIM").mkdir(parents=True)
    for name, content in files.items():
        (folder / "DCIM" / f"{name}.MP4").write_bytes(content)
    return folder


def test_a_card_pulled_in_the_middle_of_a_file_goes_on_where_it_was(station: Station, tmp_path: Path) -> None:
    big = os.urandom(6_000_000)
    image = make_exfat(tmp_path / "card.img", camera(tmp_path / "card", A=os.urandom(1000), B=big))
    station.start_dockd()
    control = station.plug("a", image=str(image), bytes_per_second=4_000_000)
    wait_until(lambda: station.tile().bytes_done > 2_500_000, station.tile)
    control.unlink()
    tile = station.wait_tile(S.INTERRUPTED)
    assert tile.message is not None
    assert (tile.message.code, tile.message.parameters["left"]) == ("ingest.interrupted", 1)
    wait_until(lambda: not Path("/proc/self/mounts").read_text(encoding="utf-8").count(str(station.root)))
    before = {row.id for row in recordings(station)}
    (part,) = (station.vault.path / "incoming").glob("*.part")
    station.plug("a", image=str(image))
    station.wait_tile(*END)
    assert station.tile().state is S.SEALED
    assert {row.id for row in recordings(station)} == before
    assert [s.state for s in sessions(station)] == ["complete"]
    assert ingested(station.vault)[sha256_hex(big)] == 1
    assert station.vault.object_path(part.stem).exists(), "the same copy went on"


def test_a_card_put_back_into_another_bay_goes_on_there_and_the_first_bay_is_free(
    station: Station, tmp_path: Path
) -> None:
    folder = camera(tmp_path / "card", A=os.urandom(3_000_000))
    station.start_dockd()
    control = station.plug("a", directory=str(folder), bytes_per_second=3_000_000)
    wait_until(lambda: station.tile().bytes_done > 1_000_000, station.tile)
    control.unlink()
    station.wait_tile(S.INTERRUPTED)
    station.plug("b", port=PORTS[1], directory=str(folder))
    assert station.wait_tile(*END, number=2).state is S.SEALED
    station.wait_tile(S.EMPTY, number=1)
    assert [(s.state, s.bay) for s in sessions(station)] == [("complete", 2)]


def test_a_card_changed_while_it_was_away_is_copied_from_the_start(station: Station, tmp_path: Path) -> None:
    first, second = os.urandom(4_000_000), os.urandom(4_000_000)
    folder = camera(tmp_path / "card", A=first)
    film = folder / "DCIM/A.MP4"
    station.start_dockd()
    control = station.plug("a", directory=str(folder), bytes_per_second=3_000_000)
    wait_until(lambda: station.tile().bytes_done > 2_500_000, station.tile)
    control.unlink()
    station.wait_tile(S.INTERRUPTED)
    times = film.stat()
    film.write_bytes(second)
    os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
    station.plug("a", directory=str(folder))
    station.wait_tile(*END)
    assert station.tile().state is S.SEALED
    assert ingested(station.vault) == Counter([sha256_hex(second)])


def test_a_card_docked_again_is_known_and_nothing_is_sealed_twice(station: Station, card: Path) -> None:
    station.start_dockd()
    for turn in range(2):
        control = station.plug("a", image=str(card))
        tile = station.wait_tile(*END)
        assert (tile.state, tile.files_done) == (S.SEALED, 7), turn
        control.unlink()
        station.wait_tile(S.EMPTY)
    assert sum(ingested(station.vault).values()) == len(recordings(station)) == 7
    assert [s.state for s in sessions(station)] == ["released", "released"]


def test_another_film_under_a_sealed_name_size_and_time_is_sealed_too(
    station: Station, tmp_path: Path
) -> None:
    old, new = os.urandom(5000), os.urandom(5000)
    folder = camera(tmp_path / "card", A=old)
    film = folder / "DCIM/A.MP4"
    station.start_dockd()
    for content in (old, new):
        times = film.stat()
        film.write_bytes(content)
        os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
        control = station.plug("a", directory=str(folder))
        assert station.wait_tile(*END).state is S.SEALED
        control.unlink()
        station.wait_tile(S.EMPTY)
    assert ingested(station.vault) == Counter([sha256_hex(old), sha256_hex(new)])


def test_a_hostile_card_gives_its_files_and_a_reason_for_each_other_thing(
    station: Station, tmp_path: Path
) -> None:
    image = make_ext4(tmp_path / "card.img", camera(tmp_path / "card", A=b"film", EMPTY=b""))
    with mounted(image) as root:
        (root / "DCIM/link.MP4").symlink_to("/etc/shadow")
        os.mkfifo(root / "DCIM/pipe.MP4")
        os.mknod(root / "DCIM/node.MP4", 0o60666, os.makedev(7, 0))
        (root / "DCIM" / ("n" * 255)).write_bytes(b"long")
        Path(os.fsdecode(os.fsencode(root) + b"/DCIM/\xff\xfe.MP4")).write_bytes(b"odd")
        (root / "DCIM/text.MP4").write_text("not a film", encoding="utf-8")
    station.start_dockd()
    station.plug("a", image=str(image))
    tile = station.wait_tile(*END)
    assert tile.state is S.PARTIAL
    assert tile.message is not None
    assert (tile.message.code, tile.message.parameters) == ("ingest.partial", {"failed": 3, "total": 8})
    assert {row.shown_path for row in recordings(station) if row.state == "receipted"} == {
        "DCIM/A.MP4", "DCIM/EMPTY.MP4", "DCIM/" + "n" * 255, "DCIM/\\xff\\xfe.MP4", "DCIM/text.MP4",
    }  # fmt: skip
    (docking,) = sessions(station)
    assert {f["path"]: f["reason"] for f in docking.failures} == dict.fromkeys(
        ("DCIM/link.MP4", "DCIM/pipe.MP4", "DCIM/node.MP4"), "ingest.refused_file"
    )


def test_a_card_with_bad_sectors_gives_what_can_be_read_and_names_what_cannot(
    station: Station, tmp_path: Path
) -> None:
    films = {f"F{n}": os.urandom(1_500_000) for n in range(4)}
    station.start_dockd()
    with failing_card(camera(tmp_path / "card", **films), "F2.MP4", 700_000) as root:
        control = station.plug("a", directory=str(root))
        tile = station.wait_tile(*END)
        assert tile.state is S.PARTIAL
        control.unlink()
        station.wait_tile(S.EMPTY)
    assert {row.state for row in recordings(station)} == {"receipted"}
    assert sessions(station)[0].failures == [{"path": "DCIM/F2.MP4", "reason": "ingest.damaged"}]
    assert list((station.vault.path / "incoming").iterdir()) == []
    first_bad = 700_000 // 4096 * 4096
    as_sealed = films["F2"][:first_bad] + bytes(1_500_000 - first_bad)
    whole = [films[name] for name in ("F0", "F1", "F3")]
    assert ingested(station.vault) == Counter(sha256_hex(film) for film in (*whole, as_sealed))
    (damaged,) = [leaf for leaf in leaves(station) if leaf.facts.get("damaged")]
    assert damaged.facts["damaged"] == [[first_bad, 1_500_000]]
    assert damaged.object is not None
    assert damaged.object.sha256 == sha256_hex(as_sealed)
    assert statement(station)["counts"] == {"taken": 3, "damaged": 1}


def test_a_damaged_file_table_entry_is_named_and_the_rest_is_taken(station: Station, tmp_path: Path) -> None:
    image = make_ext4(tmp_path / "card.img", camera(tmp_path / "card", A=b"film" * 9999, B=b"film" * 9999))
    run("debugfs", "-w", "-R", "set_inode_field /DCIM/B.MP4 block[0] 1", str(image))
    station.start_dockd()
    station.plug("a", image=str(image))
    assert station.wait_tile(*END).state is S.PARTIAL
    assert sessions(station)[0].failures == [{"path": "DCIM/B.MP4", "reason": "ingest.unreadable_entry"}]
    assert [row.state for row in recordings(station)] == ["receipted"]


def test_a_full_vault_takes_what_fits_and_says_what_does_not(tmp_path: Path) -> None:
    root = tmp_path / "small"
    root.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(root))
    try:
        station = Station.make(root / "station")
        station.line.reserve_bytes = 8 * 1024 * 1024
        station.start_vaultd()
        folder = camera(tmp_path / "card", A=os.urandom(5000), B=os.urandom(40_000_000), C=os.urandom(5000))
        station.start_dockd()
        station.plug("a", directory=str(folder))
        tile = station.wait_tile(*END)
        assert tile.state is S.PARTIAL
        assert tile.message is not None  # the tile names the cause, not only the count
        assert (tile.message.code, tile.message.parameters) == (
            "ingest.vault_full",
            {"failed": 1, "total": 3},
        )
        assert {row.shown_path: row.state for row in recordings(station)} == {
            "DCIM/A.MP4": "receipted", "DCIM/B.MP4": "found", "DCIM/C.MP4": "receipted",
        }  # fmt: skip
        assert sessions(station)[0].failures == [{"path": "DCIM/B.MP4", "reason": "ingest.no_room"}]
        station.stop()
    finally:
        run("umount", "--lazy", str(root))


def test_an_object_that_comes_back_changed_is_copied_again(tmp_path: Path) -> None:
    station = Station.make(tmp_path / "station")
    film = os.urandom(3_000_000)
    station.start_dockd()
    station.plug("a", directory=str(camera(tmp_path / "card", A=film)))
    station.wait_tile(S.VERIFYING)
    (part,) = (station.vault.path / "incoming").glob("*.part")
    with part.open("r+b") as file:
        file.seek(1000)
        file.write(b"another byte")
    station.start_vaultd()
    assert station.wait_tile(*END).state is S.SEALED
    assert ingested(station.vault) == Counter([sha256_hex(film)])
    with station.db.reading() as session:
        steps = list(session.scalars(select(StateHistory.after).where(StateHistory.machine == "recording")))
    assert steps == [
        "copying",
        "copied",
        "submitted",
        "mismatched",
        "found",
        "copying",
        "copied",
        "submitted",
        "verified",
        "receipted",
    ]
    station.stop()


def test_a_silent_log_is_said_on_the_tile_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "STALLED_S", 0.1)
    station = Station.make(tmp_path / "station")
    station.start_dockd()
    station.plug("a", directory=str(camera(tmp_path / "card", A=b"film")))
    wait_until(lambda: station.tile().message is not None, station.tile)
    assert station.tile().state is S.VERIFYING
    assert station.tile().message.code == "ingest.stalled"
    station.start_vaultd()
    tile = station.wait_tile(*END)
    assert (tile.state, tile.message) == (S.SEALED, None)
    station.stop()


def test_a_card_pulled_while_the_log_is_silent_is_sealed_without_it(tmp_path: Path) -> None:
    station = Station.make(tmp_path / "station")
    station.start_dockd()
    control = station.plug("a", directory=str(camera(tmp_path / "card", A=b"film")))
    station.wait_tile(S.VERIFYING)
    control.unlink()
    station.start_vaultd()
    station.wait_tile(S.EMPTY)
    assert [row.state for row in recordings(station)] == ["receipted"]
    station.stop()


@pytest.mark.parametrize(
    ("files", "port", "number", "code"),
    [
        ({"holiday.jpg": b"x"}, PORTS[0], 1, "devices.unknown"),
        ({"DCIM/A.MP4": b"x"}, "pci-0000:00:04.0-usb-0:9", 0, "ingest.unmapped_bay"),
    ],
)
def test_a_recorder_that_is_unknown_or_outside_the_bays_is_not_opened(
    station: Station, tmp_path: Path, files: dict[str, bytes], port: str, number: int, code: str
) -> None:
    for path, content in files.items():
        (tmp_path / "card" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "card" / path).write_bytes(content)
        (tmp_path / "card" / path).chmod(0)
    station.start_dockd()
    control = station.plug("a", port=port, directory=str(tmp_path / "card"))
    tile = station.wait_tile(S.UNKNOWN, number=number)
    assert tile.message is not None
    assert tile.message.code == code
    assert recordings(station) == sessions(station) == []
    control.unlink()
    station.wait_tile(S.EMPTY, number=number)


def test_a_card_that_cannot_be_mounted_is_a_fault_that_says_what_to_do(
    station: Station, tmp_path: Path
) -> None:
    (tmp_path / "blank.img").write_bytes(bytes(1 << 20))
    station.start_dockd()
    station.plug("a", image=str(tmp_path / "blank.img"))
    tile = station.wait_tile(*END)
    assert tile.message is not None
    assert (tile.state, tile.message.code) == (S.FAULT, "devices.not_mountable")


def test_two_recorders_with_one_serial_are_both_sealed(station: Station, tmp_path: Path) -> None:
    films = [os.urandom(400_000) for _ in PORTS]
    station.start_dockd()
    for number, film in enumerate(films):
        folder = camera(tmp_path / f"card{number}", A=film, SHARED=b"same")
        station.plug(f"slot{number}", port=PORTS[number], directory=str(folder), bytes_per_second=2_000_000)
    for number in (1, 2):
        assert station.wait_tile(*END, number=number).state is S.SEALED
    sealed = ingested(station.vault)
    assert [sealed[sha256_hex(film)] for film in films] == [1, 1]


def test_a_dock_that_is_stopped_and_started_goes_on_with_the_same_session(
    station: Station, tmp_path: Path
) -> None:
    film = os.urandom(3_000_000)
    folder = camera(tmp_path / "card", A=b"first", B=film)
    station.start_dockd()
    station.plug("a", directory=str(folder), bytes_per_second=2_000_000)
    wait_until(lambda: station.tile().bytes_done > 500_000, station.tile)
    station.stop()
    assert {row.state for row in recordings(station)} <= {"interrupted", "submitted", "receipted"}
    assert list((station.vault.path / "incoming").iterdir()) == []
    station.start_vaultd()
    station.start_dockd()
    assert station.wait_tile(*END).state is S.SEALED
    assert [s.state for s in sessions(station)] == ["complete"]
    assert ingested(station.vault) == Counter([sha256_hex(b"first"), sha256_hex(film)])


def test_every_recording_has_its_receipt_in_the_table(station: Station, card: Path) -> None:
    station.start_dockd()
    station.plug("a", image=str(card))
    station.wait_tile(*END)
    with station.db.reading() as session:
        receipts = set(session.scalars(select(ReceiptRow.entry_id)))
    assert {row.id for row in recordings(station)} <= receipts


def test_a_recorder_without_a_serial_does_not_end_the_session_of_another(
    station: Station, tmp_path: Path
) -> None:
    first = camera(tmp_path / "first", A=os.urandom(3_000_000))
    second = camera(tmp_path / "second", B=b"another recorder's")
    station.start_dockd()
    control = station.plug("a", serial="", directory=str(first), bytes_per_second=3_000_000)
    wait_until(lambda: station.tile().bytes_done > 1_000_000, station.tile)
    control.unlink()
    station.wait_tile(S.INTERRUPTED)
    control = station.plug("b", serial="", directory=str(second))
    assert station.wait_tile(*END).state is S.SEALED
    assert [s.state for s in sessions(station)] == ["interrupted", "complete"]
    control.unlink()
    station.wait_tile(S.EMPTY)
    station.plug("a", serial="", directory=str(first))
    assert station.wait_tile(*END).state is S.SEALED
    assert [s.state for s in sessions(station)] == ["complete", "released"]


def test_a_session_is_not_complete_while_a_file_it_found_is_neither_sealed_nor_there(
    station: Station, tmp_path: Path
) -> None:
    folder = camera(tmp_path / "card", A=os.urandom(3_000_000), B=os.urandom(3_000_001))
    station.start_dockd()
    control = station.plug("a", directory=str(folder), bytes_per_second=3_000_000)
    wait_until(lambda: station.tile().bytes_done > 1_000_000, station.tile)
    control.unlink()
    station.wait_tile(S.INTERRUPTED)
    (folder / "DCIM/B.MP4").unlink()
    station.plug("a", directory=str(folder))
    assert station.wait_tile(*END).state is S.PARTIAL
    (docking,) = sessions(station)
    assert docking.failures == [{"path": "DCIM/B.MP4", "reason": "ingest.no_longer_there"}]


def test_more_failures_than_a_body_holds_still_end_the_session(station: Station, tmp_path: Path) -> None:
    deep = camera(tmp_path / "card", A=b"film") / "DCIM"
    for _ in range(8):
        deep = deep / ("d" * 250)
    deep.mkdir(parents=True)
    for number in range(600):
        (deep / f"{number:03d}{'n' * 240}").symlink_to("x")
    station.start_dockd()
    station.plug("a", directory=str(tmp_path / "card"))
    assert station.wait_tile(*END).state is S.PARTIAL
    (docking,) = sessions(station)
    assert (docking.state, len(docking.failures)) == ("partial", 600)


def test_a_close_that_fails_leaves_a_session_to_go_on_with(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = camera(tmp_path / "card", A=b"film")
    station.start_dockd()
    with monkeypatch.context() as patched:
        patched.setattr(offload, "finish_session", lambda *_: 1 / 0)
        control = station.plug("a", directory=str(folder))
        assert station.wait_tile(*END).state is S.FAULT
    control.unlink()
    station.wait_tile(S.EMPTY)
    assert [s.state for s in sessions(station)] == ["interrupted"]
    station.plug("a", directory=str(folder))
    assert station.wait_tile(*END).state is S.SEALED
    assert [s.state for s in sessions(station)] == ["complete"]


def test_the_session_says_how_many_files_the_profile_left_out(
    station: Station, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, submit = list[Draft](), Submitter.submit

    def keep(submitter: Submitter, session: Session, draft: Draft) -> str:
        bodies.append(draft)
        return submit(submitter, session, draft)

    monkeypatch.setattr(Submitter, "submit", keep)
    station.start_dockd()
    station.plug("a", image=str(card))
    assert station.wait_tile(*END).state is S.SEALED
    (draft,) = [draft for draft in bodies if draft.type == "session"]
    assert (draft.body["ignored"], draft.body["failures_total"]) == (1, 0)


def test_the_log_is_not_asked_after_every_file(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, look, wait = list[str](), offload.look, offload.Offload._wait_receipts
    monkeypatch.setattr(offload, "SETTLE_EVERY_S", 3600)
    monkeypatch.setattr(offload, "look", lambda *a: (asked.append("look"), look(*a))[1])
    monkeypatch.setattr(offload.Offload, "_wait_receipts", lambda run: (asked.append("end"), wait(run))[1])
    station.start_dockd()
    folder = camera(tmp_path / "card", **{f"F{n:02d}": b"%d" % n for n in range(20)})
    station.plug("a", directory=str(folder))
    assert station.wait_tile(*END).state is S.SEALED
    assert asked.index("end") <= 1


def test_the_tile_never_says_that_the_rest_is_sealed_when_there_is_no_rest() -> None:
    refused = RefusedFileError(path="a", why="a link")
    some = Outcome("s", sealed=["r"], failures={"a": refused}).shortfall()
    none = Outcome("s", failures={"a": refused}).shortfall()
    assert some is not None
    assert none is not None
    assert (some.code, none.code) == ("ingest.partial", "ingest.nothing_taken")
    assert "rest is sealed" not in str(none)
    assert Outcome("s", known=["r"]).shortfall() is None


def enforcement(folder: Path, *numbers: int) -> Path:
    """A shift of an enforcement recorder: a film every ten minutes, numbered within the day."""
    day = folder / "DCIM/20261123"
    day.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        at = 8 * 60 + 10 * number
        name = f"X1A0001060123_20261123{at // 60:02d}{at % 60:02d}00_{number:04d}.mp4"
        (day / name).write_bytes(os.urandom(3000 + number))
        ended = datetime(
            2026, 11, 23, at // 60, at % 60 + 5, tzinfo=UTC
        ).timestamp()  # as FAT's digits are read
        os.utime(day / name, (ended, ended))
    (folder / "LOG.TXT").write_bytes(b"POWER ON")
    return folder


def dock_once(station: Station, folder: Path) -> BayStatus:
    control = station.plug("a", directory=str(folder))
    tile = station.wait_tile(*END)
    control.unlink()
    station.wait_tile(S.EMPTY)
    return tile


def test_the_statement_names_everything_on_the_medium_and_what_its_numbers_lack(
    station: Station, tmp_path: Path
) -> None:
    folder = enforcement(tmp_path / "card", 1, 2, 5)
    (folder / "System Volume Information").mkdir()
    (folder / "System Volume Information/WPSettings.dat").write_bytes(b"junk")
    (folder / "DCIM/link.mp4").symlink_to("/etc/shadow")
    profile = find_profile(load_profiles(), "enforcement-storage")
    profile = profile.model_copy(update={"sequence": SimpleNamespace(per="day", start=1, wrap=9999)})
    condition = Condition(battery_percent=31, firmware="V2.07", acts=(Act("unlock", changed=True),))
    listing = Medium(folder, "mass_storage", Identity("USB7", "0483", "5720"), Presence("card")).list()
    recorder = Described(listing, profile, condition)
    here = Circumstance(Origin.DOCK, 3, identity_by=IdentityBy.UNLOCK)
    tile = Tile(3)
    outcome = Offload(station.line, recorder, profile, here, tile, Event()).run()
    listing.close()
    assert set(outcome.failures) == {"DCIM/link.mp4"}
    assert (tile.status.battery_percent, tile.status.firmware) == (31, "V2.07")

    told = statement(station)
    ids = {row.shown_path: row.id for row in recordings(station)}
    first, after, before = (next(i for path, i in ids.items() if f"_{n:04d}." in path) for n in (1, 2, 5))
    assert told["counts"] == {"taken": 4, "refused": 1, "left_out": 1}
    assert {row["id"] for row in told["files"] if row["fate"] == "taken"} == set(ids.values())
    assert [row for row in told["files"] if row["fate"] != "taken"] == [
        {"fate": "refused", "path": "DCIM/link.mp4", "reason": "symlink"},
        {"fate": "left_out", "path": "System Volume Information/WPSettings.dat", "size": 4},
    ]
    assert told["found_on"] == {
        "recorder_serial": "X1A0001", "usb": "0483:5720", "label": "", "profile": profile.id,
        "transport": "mass_storage",
    }  # fmt: skip
    assert (told["identity_by"], told["holder"], told["holder_by"]) == ("unlock", "060123", "names")
    assert told["condition"]["acts"] == [{"command": "unlock", "changed": True}]
    assert told["untouched"] == {"method": "write_counter", "sectors_written": 0, "holds": True}
    assert told["number_gaps"] == [
        {"series": "2026-11-23", "first": 3, "last": 4, "after": after, "before": before}
    ]
    assert [(gap["after"], gap["before"], gap["seconds"]) for gap in told["time_gaps"]] == [
        (first, after, 300),
        (after, before, 1500),
    ]
    (leaf,) = [leaf for leaf in leaves(station) if leaf.type == "session"]
    assert leaf.facts["statement"] == {
        "listed": 6, "omitted": 2, "damaged": 0, "number_gaps": 1, "time_gaps": 2, "pages": 0,
    }  # fmt: skip


def test_files_with_a_receipt_are_not_read_again_except_a_sample(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "LEAST", 2)
    folder = enforcement(tmp_path / "card", *range(1, 8))
    station.start_dockd()
    for _ in range(2):
        assert dock_once(station, folder).state is S.SEALED
    told = statement(station, 2)
    assert told["sample"] == {"known": 8, "read": 3, "differs": False}
    assert told["counts"] == {"compared": 3, "not_reread": 5}
    receipts = {row.id: row.entry_index for row in recordings(station)}
    assert {row["id"]: row["receipt"] for row in told["files"]} == receipts
    assert sum(ingested(station.vault).values()) == 8


def test_one_sampled_file_that_differs_means_that_everything_is_copied(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "LEAST", 1)
    folder = enforcement(tmp_path / "card", *range(1, 8))
    station.start_dockd()
    dock_once(station, folder)
    for film in sorted(folder.rglob("*.*")):
        times = film.stat()
        film.write_bytes(os.urandom(times.st_size))
        os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
    last = max((folder / "DCIM").rglob("*.mp4"))
    control = station.plug("a", directory=str(folder), bytes_per_second=30_000)
    wait_until(lambda: station.tile().files_done >= 2, station.tile)
    control.unlink()
    station.wait_tile(S.INTERRUPTED, S.SEALED)
    assert dock_once(station, folder).state is S.SEALED
    sealed = ingested(station.vault)
    assert sum(sealed.values()) == 16, "the decision stood although the recorder was pulled in between"
    assert sealed[sha256_hex(last.read_bytes())] == 1
    assert statement(station, 2)["session"] == sessions(station)[1].id


def test_a_damaged_file_is_said_again_when_it_is_docked_again_and_not_sealed_twice(
    station: Station, tmp_path: Path
) -> None:
    station.start_dockd()
    card = camera(tmp_path / "card", A=os.urandom(5000), B=os.urandom(300_000))
    with failing_card(card, "B.MP4", 150_000) as root:
        for turn in (1, 2):
            control = station.plug("a", directory=str(root))
            tile = station.wait_tile(*END)
            assert tile.state is S.PARTIAL
            assert tile.message is not None
            assert tile.message.code == "ingest.files_damaged"
            assert tile.message.parameters == {"damaged": 1, "total": 2}
            control.unlink()
            station.wait_tile(S.EMPTY)
            assert statement(station, turn)["counts"]["damaged"] == 1
    assert sum(ingested(station.vault).values()) == 2


def test_a_statement_of_many_pages_is_on_the_log_and_the_vault_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.statement, "INLINE_BYTES", 200)
    monkeypatch.setattr(ingest.statement, "PAGE_BYTES", 300)
    permits = founding.PERMITS | {"dockd": ["ingest", "session", "statement"]}
    monkeypatch.setattr(founding, "PERMITS", permits)
    (tmp_path / "station/run").mkdir(parents=True)
    founding.initialise(tmp_path / "station/vault", tmp_path / "station/keys", PASSPHRASE)
    station = Station.open(tmp_path / "station")
    station.db.create_tables()
    station.start_vaultd()
    station.start_dockd()
    assert dock_once(station, enforcement(tmp_path / "card", *range(1, 8))).state is S.SEALED
    told = statement(station)
    assert told["counts"]["taken"] == 8
    assert {row["id"] for row in told["files"]} >= {row.id for row in recordings(station)}
    pages = [leaf for leaf in leaves(station) if leaf.type == "statement"]
    assert len(pages) > 2
    assert {leaf.about for leaf in pages} == {(sessions(station)[0].id,)}
    station.stop()
    report = verify_vault(station.vault.path, station.vault.verifier)
    assert report.failures == []


def test_flagged_files_are_copied_first_then_short_then_long(station: Station, tmp_path: Path) -> None:
    folder = camera(tmp_path / "card", A=bytes(90_000), B=bytes(10), C=bytes(5000), D=bytes(70_000))
    listing = Medium(folder, "hand", Identity(serial="S1"), Presence("card")).list()
    profile = FOLDER.model_copy(update={"priority": SimpleNamespace(flagged=(".*/[AD].MP4",))})
    recorder = Described(listing, profile, Condition())
    pulled = Offload(station.line, recorder, profile, Circumstance(Origin.DOCK, 1), Tile(1), Event())
    assert [one.file.name for one in pulled.plan.files] == ["D.MP4", "A.MP4", "B.MP4", "C.MP4"]
    listing.close()
