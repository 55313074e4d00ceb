"""The witness (c2sp.org/tlog-witness): it cosigns a checkpoint only when it continues the last one it cosigned.

Checks of `add_checkpoint`, in order; code is labelled with the numbers, which answer with these statuses.
  1. The request reads as one (400), of a log that this witness looks after (404).
  2. One of that log's keys signed the checkpoint, and none falsely (403).
  3. The old size is not beyond the checkpoint (400) and is the size cosigned last (409, with that size).
  4. The consistency proof leads from the root cosigned last to this one (422).
Invariants: 3, 4 and the writing of the new state happen under one lock, whatever process asks; the state is durable
before a cosignature leaves; a checkpoint that contradicts the state is kept with it as evidence and never cosigned.

Whoever owns the witness's state directory can make it cosign a fork; that is why it is another machine.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from core import log
from core.clock import utc_now
from core.durable import make_directory, replace
from core.errors import Exit
from vault.anchor import conflict
from vault.anchor.add_checkpoint import AddCheckpoint, RequestError
from vault.anchor.conflict import Conflict, ConflictError
from vault.audit.file import read_bounded
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, CheckpointError
from vault.formats.cosignature import Cosigner, with_lines
from vault.formats.merkle import EMPTY_ROOT, ProofError, verify_consistency
from vault.formats.note import NOTE_LIMIT, Note, NoteError, NoteSignatureError, VerifierKey

_LOG = log.get("vault.witness")
_STATE, _LOCK, _CONFLICTS = "checkpoint", "lock", "conflicts"


class WitnessError(VaultError):
    """The witness does not cosign; `status` is the answer over HTTP."""

    code = "vault.witness"
    sentence = "The witness did not cosign ({why}). Nothing was changed at the witness or in the log."
    exit_code = Exit.NO
    status: ClassVar[int] = 400


class UnknownLogError(WitnessError):
    """A log that this witness does not look after."""

    code = "vault.witness_unknown_log"
    sentence = (
        "This witness does not look after the log {origin}. Nothing was cosigned; add the log's key to "
        "`anchor.witness_for` in the witness's settings."
    )
    status: ClassVar[int] = 404


class FalseSignatureError(WitnessError):
    """A checkpoint that the log's key did not sign."""

    code = "vault.witness_signature"
    status: ClassVar[int] = 403


class OtherSizeError(WitnessError):
    """The proof starts at another size than the one cosigned last."""

    code = "vault.witness_size"
    sentence = (
        "This witness last cosigned the log at {size} entries, and the request starts from {old}. Nothing was "
        "cosigned; make the request again from {size}."
    )
    status: ClassVar[int] = 409

    def __init__(self, size: int, old: int, conflict: Conflict | None = None) -> None:
        super().__init__(size=size, old=old)
        self.size, self.conflict = size, conflict


class NotContinuedError(WitnessError, ConflictError):
    """The checkpoint contradicts what this witness has seen; both are kept."""

    code = "vault.witness_conflict"
    sentence = (
        "The witness did not cosign: the log contradicts what it saw before ({kind}). {place} holds both checkpoints: "
        "keep a copy off the machine and tell the log's owner (docs/operations/trusted-time.md)."
    )
    status: ClassVar[int] = 422

    def __init__(self, conflict: Conflict) -> None:
        ConflictError.__init__(self, conflict)


class NoProofError(WitnessError):
    """The first checkpoint of a log, with a proof that proves nothing."""

    code = "vault.witness_proof"
    status: ClassVar[int] = 422


class WitnessStateError(VaultError):
    """The witness's own memory of a log cannot be believed."""

    code = "vault.witness_state"
    sentence = (
        "The witness's record {path} cannot be read ({why}). It cosigns nothing for this log until the record is "
        "restored from a copy; do not delete it, because a witness without memory cosigns any history."
    )


@dataclass(frozen=True)
class Watched:
    """What the witness knows of one log."""

    origin: str
    checkpoint: Checkpoint | None
    conflicts: tuple[Conflict, ...]


class Witness:
    """One witness: its keys, the logs that it looks after, and what it has seen of them."""

    def __init__(
        self,
        directory: Path,
        cosigners: Sequence[Cosigner],
        logs: Sequence[VerifierKey],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._directory, self._cosigners, self._logs, self._clock = directory, cosigners, logs, clock

    def add_checkpoint(self, raw: bytes) -> bytes:
        """The cosignature lines over the checkpoint in a request. Raises WitnessError or WitnessStateError."""
        request, note, checkpoint = self._opened(raw)
        with self._locked(checkpoint.origin) as place:
            known = self._known(place, checkpoint.origin)
            self._check_old(place, known, request, note, checkpoint)  # 3
            self._check_proof(place, known, request, note, checkpoint)  # 4
            at = self._clock()
            lines = b"".join(one.line(checkpoint.text(), at) for one in self._cosigners)
            replace(place / _STATE, with_lines(note, lines))
        _LOG.info("cosigned", log=checkpoint.origin, entries=checkpoint.size)
        return lines

    def latest(self, origin_hash: str) -> bytes | None:
        """The last cosigned checkpoint of a log, by the SHA-256 of its origin; None when there is none."""
        origins = {_hash(key.name) for key in self._logs}
        if origin_hash not in origins:
            return None
        try:
            return read_bounded(self._directory / origin_hash / _STATE, NOTE_LIMIT)
        except FileNotFoundError:
            return None

    def status(self) -> list[Watched]:
        """What is known of every log. Raises WitnessStateError."""
        told = []
        for origin in dict.fromkeys(key.name for key in self._logs):
            place = self._directory / _hash(origin)
            known = self._known(place, origin)
            told.append(Watched(origin, known and known[0], tuple(conflict.conflicts(place / _CONFLICTS))))
        return told

    def _opened(self, raw: bytes) -> tuple[AddCheckpoint, bytes, Checkpoint]:
        """1, 2. The request, the checkpoint with the log's own signatures only, and what it says."""
        try:
            request = AddCheckpoint.parse(raw)
            parsed = Note.parse(request.note)
            checkpoint = Checkpoint.parse(parsed.text)
        except (RequestError, NoteError, CheckpointError) as cause:
            raise WitnessError(why=str(cause.parameters["why"])) from cause
        keys = [key for key in self._logs if key.name == checkpoint.origin]
        if not keys:
            raise UnknownLogError(origin=checkpoint.origin)
        try:
            signers = parsed.signers(keys)
        except NoteSignatureError as cause:
            raise FalseSignatureError(why=str(cause.parameters["why"])) from cause
        if not signers:
            raise FalseSignatureError(why="no key of the log signed the checkpoint")
        own = [one.line for one in parsed.signatures if any(key.made(one) for key in signers)]
        return request, f"{parsed.text}\n".encode() + b"".join(own), checkpoint

    def _check_old(
        self, place: Path, known: tuple[Checkpoint, bytes] | None, request: AddCheckpoint, note: bytes,
        checkpoint: Checkpoint,
    ) -> None:  # fmt: skip
        if request.old > checkpoint.size:
            raise WitnessError(why="the old size is beyond the checkpoint")
        if known and _contradicts(known[0], checkpoint):
            raise NotContinuedError(self._kept(place, known, note, checkpoint))
        size = known[0].size if known else 0
        if request.old == size:
            return
        is_back = (
            known is not None and checkpoint.size < size and request.old > 0
        )  # from 0 one asks for the size
        raise OtherSizeError(
            size, request.old, self._kept(place, known, note, checkpoint) if known and is_back else None
        )

    def _check_proof(
        self, place: Path, known: tuple[Checkpoint, bytes] | None, request: AddCheckpoint, note: bytes,
        checkpoint: Checkpoint,
    ) -> None:  # fmt: skip
        root = known[0].root if known else EMPTY_ROOT
        if not checkpoint.size and checkpoint.root != EMPTY_ROOT:
            raise NoProofError(why="an empty log has another root")
        try:
            verify_consistency(request.old, checkpoint.size, request.proof, root, checkpoint.root)
        except ProofError as cause:
            if known is None:
                raise NoProofError(why=str(cause.parameters["why"])) from cause
            raise NotContinuedError(self._kept(place, known, note, checkpoint)) from cause

    def _kept(
        self, place: Path, known: tuple[Checkpoint, bytes], note: bytes, checkpoint: Checkpoint
    ) -> Conflict:
        kept = conflict.keep(place / _CONFLICTS, conflict.between(known[0], checkpoint), known[1], note)
        _LOG.critical(
            "a log contradicts itself", log=checkpoint.origin, kind=kept.kind, evidence=str(kept.place)
        )
        return kept

    def _known(self, place: Path, origin: str) -> tuple[Checkpoint, bytes] | None:
        path = place / _STATE
        try:
            note = read_bounded(path, NOTE_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise WitnessStateError(path=path, why=cause.strerror or str(cause)) from cause
        try:
            parsed = Note.parse(note)
            if not parsed.signers([key for key in self._logs if key.name == origin]):
                raise NoteSignatureError(why="the log's key did not sign it")
            checkpoint = Checkpoint.parse(parsed.text)
        except (NoteError, CheckpointError) as cause:
            raise WitnessStateError(path=path, why=cause.parameters["why"]) from cause
        if checkpoint.origin != origin:
            raise WitnessStateError(path=path, why="it is another log's")
        return checkpoint, note

    @contextmanager
    def _locked(self, origin: str) -> Iterator[Path]:
        """The log's directory, held against every other thread and process."""
        place = self._directory / _hash(origin)
        make_directory(place)
        with (place / _LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield place


def _contradicts(known: Checkpoint, offered: Checkpoint) -> bool:
    return known.size == offered.size and known.root != offered.root


def _hash(origin: str) -> str:
    return sha256(origin.encode()).hexdigest()
