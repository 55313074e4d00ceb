from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
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
