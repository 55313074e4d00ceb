from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256, RS256
from hypothesis import given
from hypothesis import strategies as st
from keeping.people import Keeping

from core.canonical import decode
from core.clock import new_id
from vault.error import VaultError
from vault.formats.approval import Approval, ApprovalError, PasskeyError, PersonalKey, check_approvals, sign
from vault.formats.assertion import Assertion, public_key
from vault.formats.statement import PREFIX, Statement, StatementError
from vault.log.submission import Draft
from vault.retention.personal import (
    PersonalKeyError,
    WeakPersonalPassphraseError,
    make_personal_key,
    open_personal_key,
)

RP = "dock.bureau.example"
VAULT, LI, WANG, RECORDING = new_id(), new_id(), new_id(), new_id()
STATEMENT = Statement("dispose", (RECORDING,), {"schedule": new_id(), "basis": "x"}, VAULT)


@dataclass
class Authenticator:
    """A passkey that does what it is told; a test changes one thing and expects one refusal."""

    rp_id: str = RP
    origin: str = f"https://{RP}"
    flags: int = 0x05
    type: str = "webauthn.get"
    more: dict[str, Any] = field(default_factory=dict)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def cose(self) -> bytes:
        return cbor.encode(dict(ES256.from_cryptography_key(self.key.public_key())))

    def answer(self, statement: Statement) -> Assertion:
        challenge = urlsafe_b64encode(bytes.fromhex(statement.digest)).decode().rstrip("=")
        said = {
            "type": self.type,
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": False,
            **self.more,
        }
        client = json.dumps(said).encode()
        data = sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + bytes(4)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return Assertion(data, client, signature)


def test_a_passkeys_answer_to_the_digest_approves() -> None:
    passkey = Authenticator()
    key = PersonalKey(LI, "webauthn", passkey.cose, RP)
    approval = Approval(LI, key.id, assertion=passkey.answer(STATEMENT))
    approval.check(key, STATEMENT)
    assert (
        Approval.parse(decode(json.dumps(approval.facts(), sort_keys=True, separators=(",", ":")).encode()))
        == approval
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"flags": 0x01}, "present and verified"),
        ({"flags": 0x04}, "present and verified"),
        ({"rp_id": "elsewhere.example"}, "for another site"),
        ({"origin": "https://elsewhere.example"}, "by another site"),
        ({"origin": f"https://not{RP}"}, "by another site"),
        ({"origin": "https://[broken"}, "by another site"),
        ({"more": {"crossOrigin": True}}, "by another site"),
        ({"type": "webauthn.create"}, "not an answer"),
        ({"more": {"challenge": "AAAA"}}, "another request"),
        ({"more": {"long": "x" * 5000}}, "not an answer"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "signature is false"),
    ],
)
def test_one_thing_wrong_is_enough(changed: dict[str, Any], why: str) -> None:
    honest = Authenticator()
    key = PersonalKey(LI, "webauthn", honest.cose, RP)
    answer = Authenticator(**({"key": honest.key} | changed)).answer(STATEMENT)
    with pytest.raises(PasskeyError, match=why):
        Approval(LI, key.id, assertion=answer).check(key, STATEMENT)


def test_a_page_below_the_site_may_ask() -> None:
    passkey = Authenticator(origin=f"https://console.{RP}:8443")
    passkey.answer(STATEMENT).check(passkey.cose, RP, bytes.fromhex(STATEMENT.digest))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xff", cbor.encode([]), cbor.encode({}), cbor.encode({1: 2, 3: -7}),
        cbor.encode({1: 2, 3: -7, -1: 1, -2: b"x", -3: b"y"}), cbor.encode({1: 2, 3: -7, -1: 1, -2: 5, -3: "y"}),
        cbor.encode({1: 3, 3: RS256.ALGORITHM, -1: b"n", -2: b"e"}), cbor.encode({1: 1, 3: -8, -1: 6, -2: b"short"}),
    ],
)  # fmt: skip
def test_a_key_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(PasskeyError):
        public_key(raw)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=80))
def test_no_bytes_make_it_stumble(data: bytes, client: bytes, signature: bytes) -> None:
    with pytest.raises(PasskeyError):
        Assertion(data, client, signature).check(Authenticator().cose, RP, bytes(32))


@given(
    st.dictionaries(
        st.sampled_from(["account", "key", "signature", "assertion"]),
        st.one_of(st.none(), st.text(), st.integers(), st.dictionaries(st.text(max_size=5), st.text())),
    )
)
def test_no_facts_make_it_stumble(value: dict[str, Any]) -> None:
    try:
        Approval.parse(value)
    except VaultError:
        return
    assert set(value) == {"account", "key", "signature"}


def test_a_passkey_on_the_log_approves_a_disposal(keeping: Keeping, two: list[str]) -> None:
    passkey, account = Authenticator(), keeping.account("legal_reviewer")
    facts = {
        "account": account,
        "kind": "webauthn",
        "key": b64encode(passkey.cose).decode(),
        "action": "enrolled",
    }
    enrolled = keeping.submit("bureau", Draft("signer", about=(account,), facts=facts | {"rp_id": RP}))
    assert keeping.why(enrolled) == ""
    assert "names its relying party" in keeping.why(
        keeping.submit("bureau", Draft("signer", about=(account,), facts=facts))
    )
    recording = keeping.recording()
    wanted = keeping.reasons()
    statement = Statement("dispose", (recording,), wanted, keeping.house.vault.id)
    key = PersonalKey(account, "webauthn", passkey.cose, RP)
    approval = Approval(account, key.id, assertion=passkey.answer(statement)).facts()
    approvals = [*keeping.approvals("dispose", (recording,), wanted, two[:1]), approval]
    assert keeping.why(keeping.dispose([recording], [], approvals=approvals)) == ""


# --- signatures of personal keys


def keys(*accounts: str) -> tuple[dict[str, Ed25519PrivateKey], dict[str, dict[str, PersonalKey]]]:
    private = {account: Ed25519PrivateKey.generate() for account in accounts}
    public = {
        account: PersonalKey(account, "ed25519", key.public_key().public_bytes_raw())
        for account, key in private.items()
    }
    return private, {account: {key.id: key} for account, key in public.items()}


def test_two_people_approve_and_the_text_says_what() -> None:
    private, public = keys(LI, WANG)
    approvals = tuple(sign(STATEMENT, account, key) for account, key in private.items())
    check_approvals(STATEMENT, approvals, public, 2)
    with pytest.raises(ApprovalError, match="1 of 2"):
        check_approvals(STATEMENT, approvals[:1], public, 2)
    for other in (
        Statement("release", STATEMENT.about, STATEMENT.facts, VAULT),
        Statement("dispose", (new_id(),), STATEMENT.facts, VAULT),
        Statement("dispose", STATEMENT.about, {**STATEMENT.facts, "basis": "y"}, VAULT),
        Statement("dispose", STATEMENT.about, STATEMENT.facts, new_id()),
    ):
        with pytest.raises(ApprovalError, match="is false"):
            check_approvals(other, approvals, public, 2)


def test_a_signature_over_the_bare_text_means_nothing() -> None:
    private, public = keys(LI)
    bare = private[LI].sign(STATEMENT.raw())
    with pytest.raises(ApprovalError, match="is false"):
        check_approvals(STATEMENT, (Approval(LI, next(iter(public[LI])), signature=bare),), public, 1)
    assert STATEMENT.message().startswith(PREFIX)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", STATEMENT.raw()[:-1],
        STATEMENT.raw().replace(b'"x"', b'"x" '),
        STATEMENT.raw().replace(b'"facts":{', b'"facts":{"approvals":[],'),
        STATEMENT.raw().replace(RECORDING.encode(), b"x"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_not_signed(raw: bytes) -> None:
    with pytest.raises(StatementError):
        Statement.parse(raw)


def test_a_request_reads_back_equal() -> None:
    assert Statement.parse(STATEMENT.raw() + b"\n") == STATEMENT


def test_a_personal_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "personal" / f"{LI}.age"
    with pytest.raises(WeakPersonalPassphraseError):
        make_personal_key(path, b"short")
    public = make_personal_key(path, b"a passphrase of one person")
    assert open_personal_key(path, b"a passphrase of one person").public_key().public_bytes_raw() == public
    assert path.stat().st_mode & 0o777 == 0o400
    assert b"PRIVATE" not in path.read_bytes()
    for wrong, place in ((b"a passphrase of another", path), (b"x", tmp_path / "none")):
        with pytest.raises(PersonalKeyError):
            open_personal_key(place, wrong)


@pytest.mark.stock
def test_age_and_openssl_sign_and_check_an_approval_without_us(tmp_path: Path) -> None:
    """`age -d` gives the key; `openssl pkeyutl` makes and checks the signature over prefix and text."""
    import subprocess  # noqa: PLC0415

    public = Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    (tmp_path / "key.pem").write_bytes(
        public.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "message").write_bytes(STATEMENT.message())
    command = [
        "openssl",
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "key.pem",
        "-in",
        "message",
        "-out",
        "signature",
    ]
    subprocess.run(command, cwd=tmp_path, check=True)
    raw = public.public_key().public_bytes_raw()
    key = PersonalKey(LI, "ed25519", raw)
    Approval(LI, key.id, signature=(tmp_path / "signature").read_bytes()).check(key, STATEMENT)
