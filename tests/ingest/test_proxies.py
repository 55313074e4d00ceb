"""Media jobs end to end: a real vault with vaultd and keyd, real footage, the real sandbox and the real lens."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import av
import pytest
from sqlalchemy import func, select, update
from support.footage import SECONDS, clip
from support.root import opener

from core import jobs
from core.clock import utc_now
from core.db import Database
from core.digest import sha256_hex
from core.jobs import Job, JobState
from core.settings import MediaSettings
from ingest import proxies
from ingest.media_facts import MediaFacts
from ingest.proxies import INDEX, KINDS, PROXY, Workshop
from media import walls
from media.error import MediaCrashedError, MediaTimeoutError
from media.index import read_packets, stored_facts
from vault.audit.verify import verify_vault
from vault.formats.note import SigningKey
from vault.founding import initialise
from vault.keyd import Keyd, KeydClient
from vault.log.index import EntryRow, wait_sequenced
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, Projections, RowState, Submitter
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.store.deposit import Depositor
from vault.store.derived import DerivedStore
from vault.store.keys import bucket_for, ensure_bucket
from vault.store.medium import Buffers
from vault.store.objects import Vault
from vault.vaultd import Vaultd

PASSPHRASE = b"nine lives of a lantern"
PATIENCE_S = 20


@dataclass
class Line:
    """A vault with its daemons, and a worker that the test drives by hand."""

    root: Path
    workshop: Workshop
    keyd: Keyd
    projections: Projections

    @property
    def db(self) -> Database:
        return self.workshop.db

    def seal(self, content: bytes) -> str:
        vault = self.workshop.vault
        dock = Submitter(
            SigningKey.read(self.root / "keys/dockd.key"), self.projections, self.root / "vaultd.bell"
        )
        bucket = bucket_for(utc_now())
        ensure_bucket(vault, bucket)
        deposit = Depositor(vault, Buffers(8 << 20)).deposit(io.BytesIO(content), bucket)
        with self.db.writing() as session:
            draft = Draft(
                "ingest", deposit=deposit, facts={"origin": "hand", "media": "video"}, body={"name": "x"}
            )
            recording = dock.submit(session, draft)
        dock.ring()
        wait_sequenced(self.db, recording, PATIENCE_S)
        return recording

    def work(self) -> list[str]:
        """Do every job that is due; gives their kinds."""
        done = []
        while (job := jobs.claim(self.db, KINDS)) is not None:
            done.append(job.kind)
            proxies.handle(job, self.workshop)
        return done

    def facts(self, recording: str) -> MediaFacts:
        with self.db.reading() as session:
            return session.get_one(MediaFacts, recording)

    def job(self, kind: str, recording: str) -> Job:
        with self.db.reading() as session:
            return session.scalars(select(Job).where(Job.key == f"{kind}:{recording}")).one()

    def last_try(self, kind: str, recording: str) -> None:
        """The job is due, and this is the last time."""
        with self.db.writing() as session:
            session.execute(
                update(Job).where(Job.key == f"{kind}:{recording}")
                .values(state=JobState.WAITING, run_after=utc_now(), attempts=len(jobs.RETRY_AFTER))
            )  # fmt: skip

    def open(self, recording: str, rendition: str) -> bytes:
        """A derivative's plaintext, by the way that the worker takes."""
        derived, place = self.workshop.derived, wait_sequenced(self.db, recording, PATIENCE_S)
        found = derived.find(recording, rendition)
        assert found is not None
        key = self.workshop.keyd.unwrap_derived(found.note, found.key_slot, place, job="index")
        with derived.open(recording, rendition, key) as reader:
            content = reader.read(found.size)
        assert sha256_hex(content) == found.sha256
        return content


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A station's vault, unlocked, with nothing in it yet."""
    keys, stop = tmp_path / "keys", Event()
    initialise(tmp_path / "vault", keys, PASSPHRASE)
    vault, db = Vault.open(tmp_path / "vault"), Database(f"sqlite:///{tmp_path / 'sealdock.db'}")
    db.create_tables()
    projections = Projections()
    proxies.register(projections)
    bell = tmp_path / "vaultd.bell"
    keyd = Keyd(vault, opener(vault, keys), tmp_path / "keyd.sock")
    signer = SigningKey.read(keys / "worker.key")
    vaultd = Vaultd(
        vault, db, SigningKey.read(keys / "log.key"), SigningKey.read(keys / "vaultd.key"), Rules(), bell
    )  # fmt: skip
    threads = [Thread(target=daemon.run, args=(stop,), daemon=True) for daemon in (keyd, vaultd)]
    for thread in threads:
        thread.start()
    workshop = Workshop(
        db=db, vault=vault, reader=LogReader(vault), keyd=KeydClient(tmp_path / "keyd.sock", signer),
        derived=DerivedStore(tmp_path / "derived", vault), signer=signer,
        submitter=Submitter(signer, projections, bell), lenses=tmp_path / "lenses", settings=MediaSettings(),
    )  # fmt: skip
    keyd.unlock(PASSPHRASE)
    yield Line(tmp_path, workshop, keyd, projections)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    db.close()


def test_h264_is_indexed_and_played_from_the_original(line: Line) -> None:
    recording = line.seal(clip("h264").read_bytes())
    assert line.facts(recording).play == "pending"
    assert line.work() == [INDEX]
    facts = line.facts(recording)
    assert (facts.play, facts.mime, facts.error) == ("direct", "video/mp4", "")
    assert (facts.media, facts.width, facts.height, facts.video_codec) == ("video", 320, 180, "h264")
    assert (facts.audio_codec, facts.duration_ms, facts.frames_per_second) == ("aac", SECONDS * 1000, 10.0)
    assert (facts.poster, facts.sprite, facts.waveform, facts.proxy) == (True, True, True, False)
    assert facts.sprite_layout["count"] == len(facts.sprite_layout["times_ms"]) >= SECONDS
    assert line.open(recording, "poster").startswith(b"\xff\xd8")
    assert max(json.loads(line.open(recording, "waveform"))["peaks"]) > 20
    stored = line.open(recording, "index")
    video = stored_facts(stored).video
    rows = read_packets(stored.partition(b"\n")[2], video.packets)
    assert (len(rows.times), sum(rows.keys)) == (SECONDS * 10, video.keyframes)
    original = clip("h264").read_bytes()
    assert all(
        0 < place < place + size <= len(original) for place, size in zip(rows.places, rows.sizes, strict=True)
    )


def test_one_derive_entry_names_every_derivative_and_the_vault_still_verifies(line: Line) -> None:
    recording = line.seal(clip("h264").read_bytes())
    line.work()
    with line.db.reading() as session:
        row = session.scalars(select(OutboxRow).where(OutboxRow.type == "derive")).one()
    place = wait_sequenced(line.db, row.id, PATIENCE_S)
    leaf = line.workshop.reader.leaf(place)
    assert (leaf.by, leaf.about, leaf.facts["parent"]) == ("worker", (recording,), recording)
    named = {r["rendition"]: r for r in leaf.facts["renditions"]}
    assert (
        set(named) == {"poster", "sprite", "waveform", "index"} == set(line.workshop.derived.list(recording))
    )
    for name, said in named.items():
        content = line.open(recording, name)
        assert (said["sha256"], said["size"]) == (sha256_hex(content), len(content))
    assert verify_vault(line.workshop.vault.path, line.workshop.vault.verifier).ok


def test_hevc_gets_a_proxy_that_is_whole_seekable_h264(line: Line, tmp_path: Path) -> None:
    recording = line.seal(clip("hevc").read_bytes())
    assert line.work() == [INDEX, PROXY]
    facts = line.facts(recording)
    assert (facts.play, facts.proxy, facts.video_codec) == ("proxy", True, "hevc")
    path = tmp_path / "proxy.mp4"
    path.write_bytes(line.open(recording, "proxy"))
    with av.open(str(path)) as container:
        names = [stream.codec_context.codec.canonical_name for stream in container.streams]
        assert names == ["h264", "aac"]
        assert abs(container.duration / av.time_base - SECONDS) < 0.2
        container.seek(3 * av.time_base)
        frame = next(container.decode(video=0))
        assert 1.5 < frame.time <= 3.1
    assert line.job(PROXY, recording).state == JobState.DONE


def test_a_job_killed_after_its_work_and_before_its_entry_simply_runs_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = line.seal(clip("wav").read_bytes())
    monkeypatch.setattr(Submitter, "submit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        line.work()
    assert line.facts(recording).play == "pending"
    monkeypatch.undo()
    jobs.release_all(line.db, KINDS)
    assert line.work() == [INDEX]
    assert line.facts(recording).play == "direct"
    with line.db.reading() as session:
        assert (
            session.scalar(select(func.count()).select_from(OutboxRow).where(OutboxRow.type == "derive")) == 1
        )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("truncated", "media.truncated"),
        ("empty", "media.empty"),
        ("text", "media.not_media"),
        ("bomb", "media.unreadable"),
    ],
)
def test_what_cannot_be_shown_says_why_and_the_queue_goes_on(line: Line, name: str, code: str) -> None:
    recording = line.seal(clip(name).read_bytes())
    after = line.seal(clip("photo").read_bytes())
    assert line.work() == [INDEX, INDEX]
    facts = line.facts(recording)
    assert (facts.play, facts.error, facts.poster) == ("none", code, False)
    assert (line.job(INDEX, recording).state, line.workshop.derived.list(recording)) == (JobState.DONE, [])
    assert (line.facts(after).play, line.facts(after).mime) == ("direct", "image/jpeg")


def test_a_tool_that_takes_too_long_is_ended_and_noted(line: Line) -> None:
    recording = line.seal(clip("hevc").read_bytes())
    slow = MediaSettings.model_construct(memory_mib=2048, index_seconds=60, proxy_seconds=0, output_mib=16)
    line.workshop = replace(line.workshop, settings=slow)
    with pytest.raises(MediaTimeoutError):
        line.work()
    assert (line.facts(recording).play, line.facts(recording).error) == ("proxy", ""), (
        "a busy station, perhaps"
    )
    line.last_try(PROXY, recording)
    assert line.work() == [PROXY]
    assert (line.facts(recording).play, line.facts(recording).error) == ("none", "media.timeout")
    assert line.job(PROXY, recording).state == JobState.DONE


@pytest.mark.parametrize("status", [-9, 137])
def test_a_tool_that_was_killed_is_tried_again(
    line: Line, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    recording = line.seal(clip("photo").read_bytes())

    def killed(*_: object) -> NoReturn:
        raise MediaCrashedError(program="index", status=status, tail="")

    with monkeypatch.context() as patched:
        patched.setattr(proxies, "index", killed)
        with pytest.raises(MediaCrashedError):
            line.work()
    assert line.facts(recording).play == "pending"
    jobs.release_all(line.db, KINDS)
    assert line.work() == [INDEX]
    assert line.facts(recording).play == "direct"


def test_a_job_that_failed_for_good_leaves_no_recording_pending(line: Line) -> None:
    recording = line.seal(clip("h264").read_bytes())
    path = line.workshop.vault.object_path(recording)
    path.chmod(0o640)
    with path.open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff\x00\xff")
    line.last_try(INDEX, recording)
    with pytest.raises(proxies.PayloadError):
        line.work()
    assert (line.facts(recording).play, line.facts(recording).error) == ("none", proxies.PayloadError.code)


def test_a_recording_that_the_log_refused_is_not_waited_for(line: Line) -> None:
    recording = line.seal(clip("photo").read_bytes())
    with line.db.writing() as session:
        session.scalars(select(OutboxRow).where(OutboxRow.id == recording)).one().state = RowState.REFUSED
        session.delete(session.scalars(select(EntryRow).where(EntryRow.id == recording)).one())
    assert line.work() == [INDEX]
    assert line.job(INDEX, recording).state == JobState.FAILED
    assert (line.facts(recording).play, line.facts(recording).error) == ("none", "vault.refused")


def test_a_missing_program_is_named_and_the_job_waits_until_it_is_there(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = line.seal(clip("photo").read_bytes())
    monkeypatch.setattr(walls, "SEARCHED", "/nowhere")
    walls.located.cache_clear()
    assert line.work() == [INDEX]
    job = line.job(INDEX, recording)
    assert (job.state, job.attempts) == (JobState.WAITING, 0)
    assert "bubblewrap" in job.error or "fuse3" in job.error
    assert line.facts(recording).play == "pending"


def test_a_locked_vault_makes_jobs_wait_without_using_up_their_tries(line: Line) -> None:
    recording = line.seal(clip("photo").read_bytes())
    line.keyd._keyring = None
    assert line.work() == [INDEX]
    job = line.job(INDEX, recording)
    assert (job.state, job.attempts) == (JobState.WAITING, 0)
    assert "locked" in job.error


def test_after_a_lost_database_the_facts_come_back_from_the_derivatives(line: Line) -> None:
    recording = line.seal(clip("hevc").read_bytes())
    line.work()
    before = line.facts(recording)
    with line.db.writing() as session:
        place = session.scalars(select(EntryRow.index).where(EntryRow.id == recording)).one()
        session.delete(session.get_one(MediaFacts, recording))
        for job in session.scalars(select(Job)):
            session.delete(job)
    leaf = line.workshop.reader.leaf(place)
    with line.db.writing() as session:
        for _ in range(2):  # replaying twice is replaying once
            line.projections.apply(session, proxies.AppliedEntry(leaf, None, place))
    assert line.work() == [INDEX]
    after = line.facts(recording)
    for column in set(MediaFacts.__table__.columns.keys()) - {"indexed_at"}:
        assert getattr(after, column) == getattr(before, column), column


def test_a_damaged_object_is_not_shown_and_is_left_to_a_person(line: Line) -> None:
    recording = line.seal(clip("h264").read_bytes())
    path = line.workshop.vault.object_path(recording)
    path.chmod(0o640)
    with path.open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff\x00\xff")
    job = jobs.claim(line.db, KINDS)
    with pytest.raises(proxies.PayloadError):
        proxies.handle(job, line.workshop)
    assert line.facts(recording).play == "pending"
