"""The independent verifier: a bare copy of a vault directory, and a yes or a no that names what is wrong.

What a clean report establishes; code in this package is labelled with the numbers.
  1. vault.json is whole, the key it names is the one the reader trusts, and every later key of the log was handed the
     log by the one before it, in an entry (log/handover).
  2. The newest of these keys signed log/checkpoint, for this vault's origin; log/policy names it and no other log's.
  3. Every entry bundle and tile that the checkpoint calls for is there and leads from entries to root.
  4. Every entry reads as an entry, strictly; no id stands twice; the first is the genesis, no other is, and it names
     the first key.
  5. Every earlier checkpoint, receipt or page that the reader kept is a beginning of this log.
  6. Every sealed object is there, with the size and the digest that its entry names. One that is gone was disposed of
     by a later `dispose` entry, and one that a `destroy` entry calls erased is gone.
  7. Every key slot holds the header that its entry names and nothing else; zeros stand exactly where a later `dispose`
     or `rewrap` entry speaks of the entry. Every bucket's keys are those that an entry committed to before anything
     was sealed to it; a bucket that is gone is listed by a `destroy` entry, and everything in it was disposed of or
     wrapped anew. Root and recovery recipients are those that the log names, so that nobody else became a reader.
  8. Every body is in its pack with the digest that its entry names.
  9. With identities: every header opens, the newest of a recording that was wrapped anew as well, and every plaintext
     has the digest and size that its entry names.
 10. Every outside proof of time and every cosignature in log/anchors holds (vault/audit/anchor.py).
 11. Every disposal carries true signatures of two people, every release of one, by personal keys that the log had in
     force; no signature under a schedule is false. With something that knows the station's rules: roles, periods and
     holds allowed it.
Left to the reader: that the key is the bureau's; that a recorder was pointed at the truth; what happened after the last
outside evidence, which the report names. Files that nothing names are notices. Needs no database and no settings;
memory is a few tiles and buffers however long the log is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import utc_now
from vault.audit import relation
from vault.audit.anchor import check_anchors
from vault.audit.bucket import Buckets
from vault.audit.bundle import Verdict
from vault.audit.crew import Crew
from vault.audit.earlier import before, check_against, extends, read_earlier
from vault.audit.extra import Survey, survey
from vault.audit.head import Head, read_head
from vault.audit.history import Approvals, History
from vault.audit.outside import uncovered
from vault.audit.report import Finding, Report, reason
from vault.audit.resume import ResumeError, ResumeState, load_state
from vault.audit.rewrap import RewrapAudit
from vault.audit.seal import ObjectAudit, ObjectOutcome, SealedObject
from vault.audit.tree import TreeAudit
from vault.error import VaultError
from vault.formats.age import Identity
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH
from vault.formats.note import VerifierKey

READERS = 2  # threads over objects: hashing and opening release the interpreter lock
_IN_FLIGHT = 16  # objects handed out and not yet answered for
_TELL_S = 0.5  # progress is told this often while one object is read


@dataclass(frozen=True)
class Progress:
    """How far a verification is; bytes are those of every file in the vault."""

    entries: int
    entries_total: int
    bytes_read: int
    bytes_total: int


@dataclass(frozen=True)
class Request:
    """What the reader brings beside the key; nothing of it is needed.

    `identities` are the root's, the recovery's or buckets'. `against` are checkpoints, receipts, pages or packages of
    this vault, kept elsewhere; `since` is one of them whose entries need not be judged again. `resume` is where the
    state of a long run is kept. `roots` are certificates (PEM) of time-stamping authorities by name, `witnesses` keys
    of cosigners. `processes` limits how many judge bundles.
    """

    identities: Sequence[Identity] = ()
    against: Sequence[Path] = ()
    since: Path | None = None
    resume: Path | None = None
    roots: Mapping[str, bytes] = field(default_factory=dict)
    witnesses: Sequence[str] = ()
    approvals: Approvals | None = None
    processes: int | None = None
    progress: Callable[[Progress], None] = lambda _: None


def verify_vault(
    directory: Path,
    verifier: VerifierKey | None,
    *,
    identities: Sequence[Identity] | None = None,
    against: Sequence[Path] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Check the vault in `directory`; as `verify_vault_as`, with what is asked for most and no judge of disposals."""
    told = progress or (lambda _: None)
    return verify_vault_as(directory, verifier, Request(identities or (), against, progress=told))


def verify_vault_as(directory: Path, verifier: VerifierKey | None, request: Request) -> Report:
    """Check the vault in `directory` against every obligation; finds what it can, raises for nothing in it.

    Without `verifier` the vault's own key is used and the report's trust is "claimed". Raises ResumeError, RootsError
    or CosignerKeyError for what the reader brought and nobody can use, and OSError where temporary files have no room.
    """
    report = Report(str(directory))
    head = read_head(directory, verifier, report)
    if head is None:
        return report
    start = _since(directory, head, request.since, report)
    if start is not None:
        _Run(directory, head, request, start, report).run()
    check_against(directory, head.checkpoint, head.keys, request.against, report)
    return report


def _since(directory: Path, head: Head, path: Path | None, report: Report) -> int | None:
    """5. The first entry to judge; None when what the reader kept is no beginning of this log."""
    if path is None:
        return 0
    try:
        earlier = read_earlier(path, head.keys)
        why = extends(directory, head.checkpoint, earlier)
    except (OSError, VaultError) as cause:
        why = reason(cause)
    if why:
        report.fail(Finding(5, "verify.against", str(path), why))
        return None
    report.since = earlier.size
    return earlier.size


class _Run:
    """One walk over the log with everything beside it."""

    def __init__(self, directory: Path, head: Head, request: Request, start: int, report: Report) -> None:
        self._directory, self._head, self._request, self._report = directory, head, request, report
        self._checkpoint, self._start = head.checkpoint, start
        self._tree = TreeAudit(directory / "log", head.checkpoint, report, start // TILE_WIDTH)
        self._crew = Crew(
            directory, head.checkpoint.size, tuple(request.identities), start, request.processes
        )
        self._here = self._crew.audit()
        self._buckets = Buckets(directory, request.identities)
        self._objects = ObjectAudit(directory, self._buckets)
        self._relations = relation.Relations()
        self._history = History(directory, report, head.made_at, head.handovers, request.approvals)
        self._waiting: deque[Future[ObjectOutcome]] = deque()
        self._resume = self._load_state()
        self._survey = Survey()

    def run(self) -> None:
        try:
            self._survey = survey(self._directory, None if self._start else self._relations, self._report)
            self._walk()
            self._tree.close()  # 3
            self._judge_relations()
            self._history.close(self._buckets)
            self._judge_anchors()
        finally:
            self._relations.close()
        if self._resume:
            self._resume.remove()

    def _walk(self) -> None:
        for index, leaf in before(self._directory, self._checkpoint, self._start):
            self._history.take(index, leaf, earlier=True)
        with ThreadPoolExecutor(READERS, "verify") as readers:
            try:
                for verdict in self._crew.verdicts(self._tree.numbers):
                    self._settle(verdict, readers)
                    self._tell(min(self._checkpoint.size, (verdict.number + 1) * TILE_WIDTH))
                self._take_in(0)
            finally:
                for waiting in self._waiting:
                    waiting.cancel()
                if self._resume:
                    self._resume.write()

    def _settle(self, verdict: Verdict, readers: ThreadPoolExecutor) -> None:
        """3. Ask the tree about a bundle, then take what lies in it."""
        number = verdict.number
        if verdict.root is None:
            verdict = self._here.judge_entries(number, self._tree.examine(number))
        else:
            self._tree.accept(number, verdict.root)
        self._report.absorb(verdict.report)
        self._relations.add(verdict.records)
        for index, raw in verdict.notable:
            self._history.take(index, Leaf.parse(raw))
        for name, index in verdict.buckets.items():
            self._history.use(name, index)
        for sealed in verdict.objects:
            self._hand_out(readers, sealed)

    def _hand_out(self, readers: ThreadPoolExecutor, sealed: SealedObject) -> None:
        self._report.counts["objects"] += 1
        if self._resume and sealed.index < self._resume.next:
            if not (self._directory / relation.object_file(sealed.id)).is_file():
                self._miss(sealed.id, sealed.index)
            return
        self._waiting.append(readers.submit(self._objects.read, sealed))
        self._take_in(_IN_FLIGHT)

    def _take_in(self, leave: int) -> None:
        """6, 9. Take down what the readers found, oldest first, until no more than `leave` are out."""
        while len(self._waiting) > leave:
            outcome = self._wait(self._waiting.popleft())
            counts = {
                "object_bytes": outcome.size, "opened_objects": int(outcome.opened),
                "immutable_objects": int(outcome.immutable),
            }  # fmt: skip
            self._report.absorb(Report("", failures=list(outcome.faults), failure_count=len(outcome.faults)))
            self._report.counts.update(counts)
            if outcome.missing:
                self._miss(outcome.id, outcome.index)
            if self._resume:
                self._resume.take(outcome.index, counts, outcome.faults)

    def _wait(self, reading: Future[ObjectOutcome]) -> ObjectOutcome:
        while True:
            try:
                return reading.result(timeout=_TELL_S)
            except TimeoutError:
                self._tell(self._told)

    def _miss(self, entry_id: str, index: int) -> None:
        self._report.counts["gone_objects"] += 1
        self._relations.add(relation.record(entry_id, relation.NO_OBJECT, index))

    def _judge_relations(self) -> None:
        """4, 6, 7. and 9. What can be judged only when every entry was seen."""
        whole = not any(finding.obligation in {3, 4} for finding in self._report.failures)
        told = self._history.is_destruction_told(self._buckets)
        rewraps = RewrapAudit(self._directory, self._checkpoint.size, self._buckets)
        for found in self._relations.judged():
            if isinstance(found, relation.Rewrapped):
                self._judge_rewrapped(rewraps, found)
            elif found.code.startswith("notice."):
                if whole:  # else it may be an object of an entry that was altered
                    self._report.note(found)
            elif told or found.why != relation.UNREADABLE:  # else the bucket itself is named
                self._report.fail(found)

    def _judge_rewrapped(self, rewraps: RewrapAudit, found: relation.Rewrapped) -> None:
        if not self._request.identities or not self._report.ok:
            return
        self._report.counts["rewrapped"] += 1
        outcome = rewraps.judge(found, self._report)
        for fault in outcome.faults if outcome else ():
            self._report.fail(fault)
        self._report.counts["opened_rewrapped"] += bool(outcome and outcome.opened)

    def _judge_anchors(self) -> None:
        """10. What outsiders said, and from when on nobody outside said anything."""
        evidence = check_anchors(
            self._directory, self._checkpoint, self._head.keys, self._report, entries=self._history.anchors,
            roots=self._request.roots, witness_vkeys=self._request.witnesses,
        )  # fmt: skip
        self._report.window = uncovered(evidence, utc_now())

    def _load_state(self) -> ResumeState | None:
        if self._request.resume is None:
            return None
        recipients = [identity.recipient.text for identity in self._request.identities]
        state = load_state(self._request.resume, self._checkpoint, recipients)
        if why := extends(self._directory, self._checkpoint, state.checkpoint):
            raise ResumeError(path=state.path, why=why)
        state.checkpoint = self._checkpoint
        self._report.resumed = state.stopped_at
        self._report.counts.update(state.counts)
        self._report.absorb(Report("", failures=list(state.findings), failure_count=len(state.findings)))
        return state

    _told = 0

    def _tell(self, entries: int) -> None:
        self._told, size = entries, self._checkpoint.size
        resumed = self._resume.resumed_bytes if self._resume else 0
        read = self._objects.read_bytes + resumed + self._survey.others * entries // max(1, size)
        total = max(read, self._survey.objects + self._survey.others)
        self._request.progress(Progress(entries, size, read, total))
