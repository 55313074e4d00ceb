"""The demonstration: a recording comes in, is watched, its time is over, two people let it go, and nothing opens it.

Every key of the machine is tried, on the machine and on the backup: the root behind its passphrase, the recovery key,
every bucket that is left, and headers and ciphertext as somebody might have copied them the day before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from bureau.desk import ZONE
from click.testing import CliRunner, Result
from crash.house import BUCKET, PASSPHRASE, Foundation, House, found
from keeping.people import HALF_A_YEAR, Keeping
from keeping.reading import client, reading
from sqlalchemy import select

import casework.log_rule
import casework.projection
from casework.evidence.recording import Recording
from casework.keeping.preview import due
from core.clock import new_id
from core.db import Base
from core.errors import Exit
from sealdock.certificate_page import page
from sealdock.cli import sealdock
from sealdock.wiring import Station
from vault.formats.age import AgeError, Identity, open_header
from vault.formats.proof import Receipt
from vault.log.index import custody, receipt_of, reindex, wait_sequenced
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.retention.certificate import certify
from vault.retention.closing import close_bucket
from vault.retention.execution import carry_out, waiting
from vault.retention.past import Past
from vault.retention.rewrapping import submit_rewrap
from vault.store.derived import DerivedStore
from vault.store.keys import Keyring, NoBucketError, bucket_names, ensure_bucket
from vault.store.objects import DisposedError, Vault, open_object
from vault.vaultd import Vaultd

NAME = "X1A0123060123_20261120091500_00.MP4"
CONTENT = b"what nobody needs any more" * 4000
HELD = "H-2026-11"


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def keeping(foundation: Foundation, tmp_path: Path) -> Iterator[Keeping]:
    house = House.copy(foundation, tmp_path / "house")
    casework.projection.register(house.projections, ZONE)
    casework.log_rule.register(house.rules)
    yield Keeping(house)
    house.close()


def ingest(keeping: Keeping, content: bytes, name: str) -> str:
    body = {"name": name, "path": f"DCIM/{name}", "officer_number": "060123", "recorder_serial": "X1A0123"}
    facts = {"origin": "hand", "media": "video", "session": new_id()}
    draft = Draft("ingest", facts=facts, body=body, deposit=keeping.house.deposit(content))
    return keeping.submit("dockd", draft)


def view(keeping: Keeping, recording: str) -> int:
    facts = {"purpose_code": "hearing", "rendition": "original"}
    return keeping.index(keeping.submit("console", Draft("view", about=(recording,), facts=facts)))


def keep(keeping: Keeping, recording: str) -> None:
    """Hold a recording and take its keys out of the bucket that is to be closed."""
    house, grant = keeping.house, keeping.index(keeping.hold(recording))
    ensure_bucket(house.vault, HELD)
    slots = client(house, "bureau").rewrap(keeping.index(recording), HELD, grant=grant)
    with house.db.writing() as session:
        bureau = Submitter(house.key("bureau"), house.projections, house.bell)
        submit_rewrap(session, bureau, None, recording, HELD, *slots)
    house.settle()


def every_identity(vault: Vault, keys: Path, recovery: str) -> list[Identity]:
    """Root, recovery, and what they open in keys/buckets."""
    identities = [Identity.parse(recovery)]
    for keyring in (Keyring.unlock(vault, keys, PASSPHRASE), Keyring.from_identity(vault, recovery)):
        identities += [keyring.bucket(name) for name in bucket_names(vault)]
        with pytest.raises(NoBucketError):
            keyring.bucket(BUCKET)
    return identities


def test_a_recording_that_two_people_let_go_is_opened_by_no_key_and_proven_by_the_log(  # noqa: PLR0915  one story
    keeping: Keeping, tmp_path: Path
) -> None:
    """D39"""
    house = keeping.house
    keeping.begin()
    two = [keeping.person("custodian"), keeping.person("legal_reviewer")]
    with reading(house) as keyd:
        # 1. It comes in, is watched, has a poster; another one is under hold.
        gone, kept = ingest(keeping, CONTENT, NAME), ingest(keeping, b"kept" * 500, "kept.mp4")
        place = keeping.index(gone)
        leaf = house.reader.leaf(place)
        file_key = client(house, "console").unwrap(place, grant=view(keeping, gone))
        with open_object(house.vault, place, leaf, file_key) as reader:
            assert reader.read() == CONTENT
        derived = DerivedStore(house.directory / "derived", house.vault)
        poster = derived.write(leaf, "poster", "image/jpeg", [b"a still of it"], house.key("worker"))
        slot, body_slot = house.vault.slots.object_slot(place), house.vault.slots.body_slot(place)
        stolen = house.vault.object_path(gone).read_bytes()
        with house.db.reading() as session:
            receipt = receipt_of(session, gone)
        keep(keeping, kept)
        backup = Path(shutil.copytree(house.vault.path, tmp_path / "backup"))

        # 2. Too early nobody may; half a year later it is due, and the preview says which and whether it was seen.
        keeping.ahead = timedelta(days=30)
        assert "is kept until" in keeping.why(keeping.dispose([gone], two))
        keeping.ahead = HALF_A_YEAR
        past = Past(house.reader, proving=False)
        with house.db.reading() as session:
            [schedule] = [each for each in _schedules(keeping, past) if each.entry_id == keeping.schedule]
            preview = due(session, past, keeping.policy, schedule, keeping.now(), {gone: 90_000})
        assert [
            (each.id, each.name, each.was_viewed, each.was_attributed) for each in preview.recordings
        ] == [(gone, NAME, True, True)]
        assert (preview.apart, preview.hours) == ((), 0.025)

        # 3. Two people; the entry first; then it is carried out, here and in the backup, and the bucket is closed.
        assert "under hold" in keeping.why(keeping.dispose([gone, kept], two))
        dispose = keeping.dispose([gone], two)
        assert keeping.why(dispose) == ""
        assert waiting(house.reader) == [keeping.index(dispose)]
        hands = keeping.hands(copies=(backup,))
        carry_out(house.vault, house.reader, keeping.index(dispose), hands)
        house.settle()
        close_bucket(house.vault, house.reader, BUCKET, hands, client(house, "sealer"))
        house.settle()

        # 4. The running key process opens nothing of it, and the one that is kept as ever.
        with pytest.raises(DisposedError):
            client(house, "console").unwrap(place, grant=view(keeping, gone))
        with pytest.raises(DisposedError):
            client(house, "console").unwrap_derived(
                poster.note, poster.key_slot, place, grant=view(keeping, gone)
            )
        assert BUCKET not in vars(keyd._keyring)["_buckets"]
        assert client(house, "console").unwrap(keeping.index(kept), grant=view(keeping, kept))

    # 5. No key of the machine or the backup opens the header that somebody copied the day before.
    assert house.recovery_identity
    assert slot
    assert body_slot
    assert len(stolen) > len(CONTENT)
    for vault in (house.vault, Vault.open(backup)):
        assert vault.slots.object_slot(place) is None
        assert vault.slots.body_slot(place) is None
        assert not vault.object_path(gone).exists()
        for identity in every_identity(vault, house.keys, house.recovery_identity):
            for header in (slot[:168], body_slot[:168], poster.key_slot[:168]):
                with pytest.raises(AgeError):
                    open_header(header, identity)
    assert derived.list(gone) == []
    assert not any(CONTENT[:64] in path.read_bytes() for path in house.directory.rglob("*") if path.is_file())

    # 6. The log proves that it existed, and who let it go; the receipt of then still verifies.
    assert receipt
    assert Receipt.parse(receipt).verify(house.vault.verifier).object == leaf.object
    certificate = certify(Past(house.reader), keeping.index(dispose), keeping.policy)
    [certified] = certificate.recordings
    assert (certified.state, certified.left) == ("unreadable", ())
    assert [key.account for key in certificate.keys] == two
    assert Receipt.parse(certificate.proof).verify(house.vault.verifier).id == dispose
    assert leaf.object
    assert certified.as_json()["sha256"] == leaf.object.sha256
    printed = page(certificate, "某县应急管理局 <&>")
    assert all(
        part in printed
        for part in (gone, leaf.object.sha256, *two, "某县应急管理局 &lt;&amp;&gt;", "销毁证明")
    )
    assert NAME not in json.dumps(certificate.as_json())
    with house.db.reading() as session:
        types = [row.type for row in custody(session, gone)]
    assert types[0] == "ingest"
    assert types[-2:] == ["view", "view"]
    assert [each for each in types if each in {"dispose", "destroy"}] == ["dispose", "destroy", "destroy"]

    report = house.verify()
    assert report.ok, [failure.sentence for failure in report.failures]

    # 7. No name is left in the database, before a reindex and after it.
    for _ in range(2):
        with house.db.reading() as session:
            row = session.scalars(select(Recording).where(Recording.id == gone)).one()
            assert (row.name, row.path, row.officer_number, row.is_disposed) == ("", "", None, True)
            before = {column.name: getattr(row, column.name) for column in Recording.__table__.columns}
        reindex(house.vault, house.keyring, house.db, house.projections)
        with house.db.reading() as session:
            row = session.scalars(select(Recording).where(Recording.id == gone)).one()
            assert {
                column.name: getattr(row, column.name) for column in Recording.__table__.columns
            } == before
    with house.db.reading() as session:
        for table in Base.metadata.sorted_tables:
            assert NAME not in repr(session.execute(select(table)).all()), table.name


def _schedules(keeping: Keeping, past: Past) -> list[object]:
    from vault.retention.chronicle import Chronicle  # noqa: PLC0415

    return list(Chronicle(past, keeping.policy).schedules())


def test_the_command_line_goes_the_whole_way(keeping: Keeping, tmp_path: Path) -> None:
    """Schedules, approvers, holds and a refusal, each by its command; nothing is due on a new station."""
    house = keeping.house
    desk = Desk(keeping, tmp_path)
    with desk.vaultd():
        recording = ingest_row(keeping, desk)
        assert desk("retention", "show").exit_code == Exit.NO
        desk.done("retention", "begin")
        assert "183 days" in desk.done("retention", "show").output
        for name in ("li", "wang"):
            desk.done(
                "user",
                "add",
                name,
                "--name",
                name,
                "--role",
                "custodian",
                "--password-file",
                str(desk.password),
            )
            desk.done("approver", "enrol", name, "--passphrase-file", str(desk.phrase))
        [li, wang] = json.loads(desk.done("approver", "list", "--json").output)
        assert (li["username"], wang["kind"]) == ("li", "ed25519")

        desk.done(
            "hold",
            "place",
            recording,
            "--reason",
            "复议",
            "--owner",
            "法制科",
            "--review-on",
            "2027-03-01",
            "--as",
            "li",
        )
        [held] = json.loads(desk.done("hold", "list", "--json").output)
        assert held["recordings"] == [recording]
        desk.done("hold", "propose-release", held["hold"], "--out", "release.json")
        desk.sign("release.json", "li")
        refused = desk("hold", "release", "release.json", "--approval", "release.json.li", "--as", "wang")
        assert refused.exit_code == Exit.NO
        desk.sign("release.json", "wang")
        desk.done("hold", "release", "release.json", "--approval", "release.json.wang", "--as", "li")
        assert json.loads(desk.done("hold", "list", "--json").output) == []

        assert desk("dispose", "preview").exit_code == Exit.NO
        desk.done("dispose", "propose", recording, "--basis", "保存期限届满", "--out", "dispose.json")
        for name in ("li", "wang"):
            desk.sign("dispose.json", name)
        approvals = ("--approval", "dispose.json.li", "--approval", "dispose.json.wang")
        kept = desk("dispose", "submit", "dispose.json", *approvals, "--as", "li")
        assert kept.exit_code == Exit.NO
        assert "is kept until" in str(kept.exception)

        (tmp_path / "longer.toml").write_text(LONGER, encoding="utf-8")
        assert "would release 0 recordings" in desk.done("retention", "preview", "longer.toml").output
        desk.done("retention", "propose", "longer.toml", "--out", "longer.json")
        desk.done("retention", "enact", "longer.json", "--as", "li")
        assert "400 days" in desk.done("retention", "show").output
        desk.done("approver", "revoke", "li", li["key"])
        assert [each["username"] for each in json.loads(desk.done("approver", "list", "--json").output)] == [
            "wang"
        ]
    assert house.vault.object_path(recording).exists()


LONGER = """
effective_from = 2026-01-01
class = [
  { name = "ordinary", days = 400, basis = "依据" },
  { name = "case_evidence", days = "permanent", basis = "依据" },
  { name = "major_incident", days = "permanent", basis = "依据" },
]
"""


def ingest_row(keeping: Keeping, desk: Desk) -> str:
    """Sealed while vaultd runs beside us."""
    house = keeping.house
    body = {"name": NAME, "path": NAME, "officer_number": None, "recorder_serial": None}
    facts = {"origin": "hand", "media": "video", "session": new_id()}
    entry_id = house.submit("dockd", Draft("ingest", facts=facts, body=body, deposit=house.deposit(CONTENT)))
    wait_sequenced(desk.station.db, entry_id, 15)
    return entry_id


class Desk:
    """The command line at a station, with vaultd running as its wiring makes it and retention's rules beside."""

    def __init__(self, keeping: Keeping, directory: Path) -> None:
        self.directory, house = directory, keeping.house
        self.settings = directory / "sealdock.toml"
        self.settings.write_text(
            f'state = "{directory / "s"}"\nvault = "{house.vault.path}"\nkeys = "{house.keys}"\n'
            f'database = "sqlite:///{house.directory / "house.db"}"\n',
            encoding="utf-8",
        )
        self.password, self.phrase = directory / "password", directory / "phrase"
        self.password.write_text("correct horse battery staple\n", encoding="utf-8")
        self.phrase.write_text("a passphrase of one person\n", encoding="utf-8")
        self.station = Station.load(self.settings)
        self.house = house

    def __call__(self, *words: str) -> Result:
        paths = [
            str(self.directory / word) if word.startswith(("release.", "dispose.", "longer.")) else word
            for word in words
        ]
        return CliRunner().invoke(sealdock, ["--settings", str(self.settings), *paths])

    def done(self, *words: str) -> Result:
        result = self(*words)
        assert result.exit_code == Exit.YES, (words, result.output, result.exception)
        return result

    def sign(self, request: str, name: str) -> None:
        self.done(
            "approver",
            "sign",
            request,
            "--as",
            name,
            "--passphrase-file",
            str(self.phrase),
            "--out",
            f"{request}.{name}",
        )

    @contextmanager
    def vaultd(self) -> Iterator[None]:
        station, stop = self.station, Event()
        daemon = Vaultd(
            self.house.vault, station.db, self.house.key("log"), self.house.key("vaultd"), self.house.rules,
            station.bell("vaultd"), projections=station.projections,
        )  # fmt: skip
        thread = Thread(target=daemon.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            station.close()
