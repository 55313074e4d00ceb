from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st
from support.authority import Authority

from vault.formats import timestamp
from vault.formats.timestamp import Query, RootsError, TimestampError, UntrustedTimestampError

CONTENT = b"sealdock/x\n7\nAAAA\n\n"
Asked = tuple[Authority, Query, bytes]


@pytest.fixture(scope="module", params=[False, True], ids=["signer only", "with its chain"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """An authority, what it was asked, and its reply. Stock openssl sends a chain in an order that DER forbids."""
    authority = Authority(tmp_path_factory.mktemp("authority"), sends_root=request.param)
    query = timestamp.query(CONTENT)
    return authority, query, authority.answer(query.raw)


def test_a_reply_over_our_bytes_holds_and_tells_the_time(asked: Asked) -> None:
    authority, query, raw = asked
    stamp = timestamp.verify(raw, CONTENT, timestamp.load_roots(authority.roots), nonce=query.nonce)
    assert abs(stamp.at - datetime.now(UTC)) < timedelta(minutes=5)
    assert (stamp.accuracy_s, stamp.policy, stamp.signer) == (1.0, "1.2.3.4.1", "CN=test signer")


def test_other_bytes_are_refused(asked: Asked) -> None:
    authority, _, raw = asked
    with pytest.raises(TimestampError, match="other bytes"):
        timestamp.verify(raw, CONTENT + b"\n", timestamp.load_roots(authority.roots))


def test_the_answer_to_another_request_is_refused(asked: Asked) -> None:
    authority, query, raw = asked
    with pytest.raises(TimestampError, match="another request"):
        timestamp.verify(raw, CONTENT, timestamp.load_roots(authority.roots), nonce=query.nonce + 1)


def test_a_root_of_somebody_else_is_named_as_untrusted(
    asked: Asked, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))  # the same names, another key
    for roots in (timestamp.load_roots(other.roots), ()):
        with pytest.raises(UntrustedTimestampError):
            timestamp.verify(asked[2], CONTENT, roots)


def test_a_second_certificate_in_the_signers_name_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The purpose could be read from one of them and the signature be checked with the other."""
    authority = Authority(tmp_path_factory.mktemp("twice"), sends_root=True)
    (authority.place / "chain.pem").write_bytes(authority.namesake())
    raw = authority.answer(timestamp.query(CONTENT).raw)
    with pytest.raises(TimestampError, match="exactly one certificate"):
        timestamp.verify(raw, CONTENT, timestamp.load_roots(authority.roots))


def test_an_authority_that_rejects_is_quoted(asked: Asked) -> None:
    authority, _, _ = asked
    garbled = timestamp.query(CONTENT).raw[:-4]
    rejected = authority.answer(garbled)
    with pytest.raises(TimestampError, match="did not grant it"):
        timestamp.verify(rejected, CONTENT, timestamp.load_roots(authority.roots))


def test_every_flipped_bit_of_what_is_stamped_is_caught_and_none_escapes(asked: Asked) -> None:
    """Bits that no signature covers (a superfluous root, lengths of optional parts) may pass; the time may not."""
    authority, query, raw = asked
    roots = timestamp.load_roots(authority.roots)
    expected = timestamp.verify(raw, CONTENT, roots, nonce=query.nonce)
    for place in range(0, len(raw) * 8, 3):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        try:
            found = timestamp.verify(bytes(flipped), CONTENT, roots, nonce=query.nonce)
        except TimestampError:
            continue
        assert found == expected


def test_a_truncated_or_longer_reply_is_refused(asked: Asked) -> None:
    authority, _, raw = asked
    roots = timestamp.load_roots(authority.roots)
    for wrong in (b"", raw[:-1], raw[: len(raw) // 2], raw + b"\0", bytes(timestamp.REPLY_LIMIT + 1)):
        with pytest.raises(TimestampError):
            timestamp.verify(wrong, CONTENT, roots)


@given(st.binary(max_size=400))
def test_noise_raises_our_error_only(noise: bytes) -> None:
    with pytest.raises(TimestampError):
        timestamp.parse(noise)


@given(st.data())
def test_a_damaged_reply_raises_our_error_only(asked: Asked, data: st.DataObject) -> None:
    authority, _, raw = asked
    start = data.draw(st.integers(0, len(raw) - 1))
    stop = data.draw(st.integers(start, min(len(raw), start + 40)))
    wrong = raw[:start] + data.draw(st.binary(max_size=40)) + raw[stop:]
    try:
        timestamp.verify(wrong, CONTENT, timestamp.load_roots(authority.roots))
    except TimestampError:
        return


@pytest.mark.parametrize(
    "pem", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_holds_no_certificates_is_refused(pem: bytes) -> None:
    with pytest.raises(RootsError):
        timestamp.load_roots(pem)
    with pytest.raises(RootsError):
        timestamp.load_roots(b" " * (timestamp.ROOTS_LIMIT + 1))


# Whom a root made a certificate for


@dataclass(frozen=True)
class Certified:
    """What the authority's root says of a key that signs tokens."""

    purposes: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,)
    is_critical: bool = True
    starts: timedelta = timedelta(days=-1)
    ends: timedelta = timedelta(days=1)


Another = tuple[Path, bytes, x509.Certificate, EllipticCurvePrivateKey]


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Another:
    """What a time-stamping authority says of our bytes, and a root that certifies keys."""
    place = tmp_path_factory.mktemp("another")
    (place / "reply").write_bytes(Authority(place / "authority").answer(timestamp.query(CONTENT).raw))
    openssl("ts", "-reply", "-in", place / "reply", "-token_out", "-out", place / "token")
    openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", place / "token", "-out", place / "said")
    key, name = (
        generate_private_key(SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a root")]),
    )
    now = datetime.now(UTC)
    root = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    return place, root.public_bytes(Encoding.PEM), root, key


def signed_by(another: Another, certified: Certified) -> bytes:
    """The authority's words, signed with a key that the root certified like this."""
    place, _, root, root_key = another
    key, now = generate_private_key(SECP256R1()), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
        .issuer_name(root.subject).public_key(key.public_key()).serial_number(2)
        .not_valid_before(now + certified.starts).not_valid_after(now + certified.ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )  # fmt: skip
    if certified.purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(certified.purposes), certified.is_critical)
    (place / "signer.pem").write_bytes(builder.sign(root_key, SHA256()).public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "signer.key").write_bytes(private)
    openssl(
        "cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha256", "-cades",
        "-econtent_type", "1.2.840.113549.1.9.16.1.4", "-signer", place / "signer.pem",
        "-inkey", place / "signer.key", "-in", place / "said", "-out", place / "forged",
    )  # fmt: skip
    body = b"\x30\x03\x02\x01\x00" + (place / "forged").read_bytes()
    return b"\x30\x82" + len(body).to_bytes(2) + body


def openssl(*argv: object) -> None:
    done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_a_key_that_a_root_certified_for_time_stamps_makes_them(another: Another) -> None:
    timestamp.verify(signed_by(another, Certified()), CONTENT, timestamp.load_roots(another[1]))


@pytest.mark.parametrize(
    "certified",
    [
        Certified(()),
        Certified((ExtendedKeyUsageOID.SERVER_AUTH,)),
        Certified((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
        Certified((ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH)),
        Certified(is_critical=False),
        Certified(starts=timedelta(days=-5), ends=timedelta(days=-1)),
        Certified(starts=timedelta(hours=1)),
    ],
)
def test_a_key_that_was_certified_for_something_else_or_another_time_makes_none(
    another: Another, certified: Certified
) -> None:
    forged = signed_by(another, certified)
    with pytest.raises(TimestampError):
        timestamp.verify(forged, CONTENT, timestamp.load_roots(another[1]))
