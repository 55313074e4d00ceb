"""The strict shapes of the entries that keep and dispose (docs/formats/disposal.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from vault.formats.entry import check_bucket, is_stamp
from vault.log.shape import Facts, Id
from vault.retention.schedule import LEAST_DAYS, MOST_DAYS

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=8192)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")]
ClassName = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]
Basis = Annotated[str, StringConstraints(min_length=1, max_length=500)]
APPROVERS_MOST = 8


class AssertionFacts(Facts):
    """A passkey's answer, each part in base64."""

    authenticator_data: Base64
    client_data: Base64
    signature: Base64


class ApprovalFacts(Facts):
    """One person's signature."""

    account: Id
    key: Digest
    signature: Base64 | None = None
    assertion: AssertionFacts | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.signature is None) == (self.assertion is None):
            raise ValueError("an approval has a signature or an assertion")
        return self


Approvals = Annotated[list[ApprovalFacts], Field(max_length=APPROVERS_MOST)]


class SignerFacts(Facts):
    """A personal key was enrolled or revoked."""

    account: Id
    kind: Literal["ed25519", "webauthn"]
    key: Base64
    action: Literal["enrolled", "revoked"]
    rp_id: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}$")] | None = None
    credential: Base64 | None = None

    @model_validator(mode="after")
    def _passkeys_name_their_site(self) -> Self:
        if (self.kind == "webauthn") != (self.rp_id is not None):
            raise ValueError("a passkey, and nothing else, names its relying party")
        return self


class ClassFacts(Facts):
    """One class of a schedule. `class` is no name in Python."""

    name: Annotated[ClassName, Field(alias="class")]
    days: Annotated[int, Field(ge=LEAST_DAYS, le=MOST_DAYS)] | None
    basis: Basis


class ScheduleFacts(Facts):
    """A schedule becomes law."""

    version: Annotated[int, Field(ge=1)]
    effective_from: str
    classes: Annotated[list[ClassFacts], Field(min_length=1, max_length=32)]
    approvals: Approvals = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not is_stamp(self.effective_from):
            raise ValueError("its effective date is not UTC with microseconds")
        if len({line.name for line in self.classes}) != len(self.classes):
            raise ValueError("it names a class twice")
        return self


class HoldFacts(Facts):
    """Recordings are kept whatever the schedule says; reason and owner are in the body."""

    review_on: Day


class ReleaseFacts(Facts):
    """A hold ends for some of its recordings."""

    hold: Id
    approvals: Approvals


class RewrapFacts(Facts):
    """A recording's keys are wrapped to another bucket; the new headers lie in the entry's own slots."""

    bucket: str
    object_header_sha256: Digest
    body_header_sha256: Digest | None = None

    @model_validator(mode="after")
    def _names_a_bucket(self) -> Self:
        check_bucket(self.bucket)
        return self


class DisposeFacts(Facts):
    """Two people decided that recordings go; `as_of` is the log's size when they were asked."""

    schedule: Id
    as_of: Annotated[int, Field(ge=1)]
    basis: Basis
    approvals: Approvals


class DestroyFacts(Facts):
    """What the sealer did about a disposal."""

    dispose: Id
    state: Literal["erased", "unreadable"]
    buckets: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _unreadable_names_buckets(self) -> Self:
        for name in self.buckets:
            check_bucket(name)
        if self.state == "unreadable" and not self.buckets:
            raise ValueError("'unreadable' names the buckets whose identities are gone")
        return self


SHAPES: dict[str, type[Facts]] = {
    "signer": SignerFacts,
    "schedule": ScheduleFacts,
    "hold": HoldFacts,
    "release": ReleaseFacts,
    "rewrap": RewrapFacts,
    "dispose": DisposeFacts,
    "destroy": DestroyFacts,
}
