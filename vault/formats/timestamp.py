"""Timestamps (RFC 3161): an authority's signed word that a checkpoint existed at a time.

What `verify` establishes; code is labelled with the numbers.
  1. The reply is within its limits, says "granted" and holds one token.
  2. The token's imprint is the SHA-256 of exactly the bytes at hand.
  3. One certificate is the signer's, it chains to a root that the caller named, was valid at the token's time, and is
     for time-stamping and nothing weaker (critical extended key usage, RFC 3161 section 2.3).
  4. That certificate's key signed the token.
  5. On line: the nonce is the one that was asked with. (Of a reply that was carried by hand it proves nothing more.)
Left to the caller: whether the roots are those of an authority worth believing. Revocation is not looked up: a token
is judged offline, years later, with what lies beside it. Invariant: whatever the bytes are, a TimestampError and no
other exception comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeVar

import rfc3161_client as rfc3161
from cryptography import x509

from core.errors import Exit
from vault.error import VaultError

REPLY_LIMIT = 64 * 1024  # bytes; a reply with a long chain has some 6 KiB
ROOTS_LIMIT = 1024 * 1024  # bytes of PEM
_SHA256 = "2.16.840.1.101.3.4.2.1"  # RFC 5754 section 2.2
_T = TypeVar("_T")


class TimestampError(VaultError):
    """A reply that is no timestamp over the bytes at hand, or none that the roots vouch for."""

    code = "vault.timestamp"
    sentence = (
        "This timestamp cannot be relied on ({why}). The log itself is not touched by that; ask the authority again, "
        "or name the right root certificates."
    )
    exit_code = Exit.NO


class UntrustedTimestampError(TimestampError):
    """The reply is over the bytes at hand, and no root that was named stands behind its signature."""

    code = "vault.timestamp_untrusted"
    exit_code = Exit.CANNOT  # the right root may yet be brought


class RootsError(VaultError):
    """A file that should hold an authority's root certificates."""

    code = "vault.roots"
    sentence = (
        "These are not root certificates ({why}). No timestamp was judged by them; get the authority's certificates "
        "in PEM form from the authority itself."
    )


@dataclass(frozen=True)
class Query:
    """A request to send (Content-Type application/timestamp-query) or to carry, and its nonce."""

    raw: bytes
    nonce: int


@dataclass(frozen=True)
class Reply:
    """A reply taken apart; nothing in it is believed yet."""

    raw: bytes
    imprint: bytes
    at: datetime
    nonce: int | None


@dataclass(frozen=True)
class Stamp:
    """What a verified token says: when, within how much, and who signed it."""

    at: datetime
    accuracy_s: float | None
    serial: int
    policy: str
    signer: str  # the certificate's subject (RFC 4514)


def query(content: bytes) -> Query:
    """A request for a token over the SHA-256 of `content`, with a nonce, asking for the signer's certificate."""
    built = rfc3161.TimestampRequestBuilder(content, rfc3161.HashAlgorithm.SHA256, True, True).build()
    if built.nonce is None:
        raise TimestampError(why="the request got no nonce")
    return Query(built.as_bytes(), built.nonce)


def load_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of an authority, in PEM. Raises RootsError."""
    if len(pem) > ROOTS_LIMIT:
        raise RootsError(why="the file is too long")
    try:
        roots = x509.load_pem_x509_certificates(pem)
    except (ValueError, TypeError) as cause:
        raise RootsError(why="no certificate in PEM form can be read in it") from cause
    return tuple(dict.fromkeys(roots))


def parse(raw: bytes) -> Reply:
    """Take a reply apart. Raises TimestampError, also for one that says "rejected"."""
    reply = _decode(raw)
    if _guarded(lambda: reply.status, "its status cannot be read") != rfc3161.PKIStatus.GRANTED:
        texts = _guarded(lambda: "; ".join(reply.status_string)[:200], "its status cannot be read")
        raise TimestampError(why=f"the authority did not grant it: {texts or 'no reason given'}")
    return _guarded(lambda: _facts(raw, reply.tst_info), "its token cannot be read")


def verify(
    raw: bytes, content: bytes, roots: Sequence[x509.Certificate], *, nonce: int | None = None
) -> Stamp:
    """What the reply `raw` proves about `content`, once 1 to 5 hold. Raises TimestampError."""
    facts = parse(raw)  # 1
    if facts.imprint != sha256(content).digest():  # 2
        raise TimestampError(why="it was made over other bytes")
    if nonce is not None and facts.nonce != nonce:  # 5
        raise TimestampError(why="it answers another request")
    if not roots:
        raise UntrustedTimestampError(why="no root certificates were given")
    reply = _decode(raw)
    signer = _guarded(lambda: _signer(reply.signed_data), "its certificates cannot be read")  # 3
    try:
        verifier = rfc3161.VerifierBuilder(roots=list(roots)).build()
        _guarded(lambda: verifier.verify_message(reply, content), "", rfc3161.VerificationError)  # 3, 4
    except rfc3161.VerificationError as cause:
        chain = "certificate verify error" in str(cause)
        kind = UntrustedTimestampError if chain else TimestampError
        raise kind(why="no given root stands behind it" if chain else "its signature is false") from cause
    return _guarded(lambda: _stamp(reply.tst_info, signer), "its token cannot be read")


def _decode(raw: bytes) -> rfc3161.TimeStampResponse:
    if len(raw) > REPLY_LIMIT:
        raise TimestampError(why="it is too long")
    return _guarded(lambda: rfc3161.decode_timestamp_response(_in_order(raw)), "it is not a reply")


def _facts(raw: bytes, token: rfc3161.TimeStampTokenInfo) -> Reply:
    imprint = token.message_imprint
    if imprint.hash_algorithm.dotted_string != _SHA256:
        raise TimestampError(why="its digest is not SHA-256")
    return Reply(raw, imprint.message, token.gen_time.astimezone(UTC), token.nonce)


def _stamp(token: rfc3161.TimeStampTokenInfo, signer: x509.Certificate) -> Stamp:
    accuracy = token.accuracy
    parts = () if accuracy is None else (accuracy.seconds, accuracy.millis, accuracy.micros)
    seconds = [(part or 0) / 1000**power for power, part in enumerate(parts)]
    return Stamp(
        token.gen_time.astimezone(UTC), sum(seconds) if seconds else None, token.serial_number,
        token.policy.dotted_string, signer.subject.rfc4514_string(),
    )  # fmt: skip


def _signer(signed: rfc3161.SignedData) -> x509.Certificate:
    """The one certificate that the signature names.

    A second one under the same issuer and number would let the purpose be read from one and the signature be checked
    with the other, so it is refused.
    """
    signers = list(signed.signer_infos)
    if len(signers) != 1:
        raise TimestampError(why="it has not exactly one signature")
    certificates = [x509.load_der_x509_certificate(one) for one in signed.certificates]
    named = [
        one for one in certificates
        if (one.issuer, one.serial_number) == (signers[0].issuer, signers[0].serial_number)
    ]  # fmt: skip
    if len(named) != 1:
        raise TimestampError(why="it has not exactly one certificate of its signer")
    return named[0]


def _guarded(read: Callable[[], _T], why: str, passed: type[Exception] = TimestampError) -> _T:
    """The result of `read`; whatever a hostile reply makes the library raise becomes a TimestampError."""
    try:
        return read()
    except (TimestampError, passed):
        raise
    except Exception as cause:
        raise TimestampError(why=why or "its signature cannot be checked") from cause
    except BaseException as cause:
        if type(cause).__name__ != "PanicException":  # how the library's compiled half gives up
            raise
        raise TimestampError(why=why or "its signature cannot be checked") from cause


def _in_order(raw: bytes) -> bytes:
    """The reply with its certificates in DER's order of a set, for a parser that insists on it.

    Stock authorities (`openssl ts` with a chain) send them as they come. Which order they stand in is covered by no
    signature and changes nothing: TimeStampResp / token / content [0] / SignedData / certificates [0].
    """
    try:
        start, stop = _inside(raw, 0, len(raw), 0x30)
        _, past_status = _inside(raw, start, stop, 0x30)
        start, stop = _inside(raw, past_status, stop, 0x30)
        start, stop = _inside(raw, _inside(raw, start, stop, 0x06)[1], stop, 0xA0)
        start, stop = _inside(raw, start, stop, 0x30)
        for tag in (0x02, 0x31, 0x30):  # version, digestAlgorithms, encapContentInfo
            start = _inside(raw, start, stop, tag)[1]
        start, stop = _inside(raw, start, stop, 0xA0)
        certificates = list[bytes]()
        place = start
        while place < stop:
            past = _inside(raw, place, stop, 0x30)[1]
            certificates.append(raw[place:past])
            place = past
    except ValueError:
        return raw  # not of this form: the parser says so better
    return raw[:start] + b"".join(sorted(certificates)) + raw[stop:]


def _inside(raw: bytes, place: int, stop: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at `place` starts and ends. Raises ValueError for another tag or length."""
    if place + 2 > stop or raw[place] != tag:
        raise ValueError("another element")
    length, start = raw[place + 1], place + 2
    if length >= 0x80:  # noqa: PLR2004  # the long form (X.690 section 8.1.3.5)
        width = length & 0x7F
        length, start = int.from_bytes(raw[start : start + width]), start + width
    if start + length > stop:
        raise ValueError("too short")
    return start, start + length
