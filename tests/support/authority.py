"""A time-stamping authority made on the spot: stock `openssl ts` with an EC P-256 key, and a server in front of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG = """
[tsa]
default_tsa = station
[station]
dir = {place}
serial = {place}/serial
crypto_device = builtin
signer_cert = {place}/signer.pem
{certs}
signer_key = {place}/signer.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass
class Authority:
    """Keys, certificates and configuration of one authority in one directory."""

    place: Path
    name: str = "test"
    sends_root: bool = False  # most authorities leave their root out of the token
    asked: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        root_key, signer_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name, signer_name = _name(f"{self.name} root"), _name(f"{self.name} signer")
        root = _certificate(root_name, root_name, root_key, root_key, is_root=True)
        signer = _certificate(signer_name, root_name, signer_key, root_key, is_root=False)
        (self.place / "roots.pem").write_bytes(root)
        (self.place / "signer.pem").write_bytes(signer)
        (self.place / "chain.pem").write_bytes(root)
        key = signer_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.place / "signer.key").write_bytes(key)
        (self.place / "serial").write_text("01\n", encoding="ascii")
        certs = f"certs = {self.place}/chain.pem" if self.sends_root else ""
        (self.place / "openssl.cnf").write_text(
            _CONFIG.format(place=self.place, certs=certs), encoding="utf-8"
        )

    @property
    def roots(self) -> bytes:
        return (self.place / "roots.pem").read_bytes()

    def namesake(self) -> bytes:
        """A certificate that claims the signer's issuer and number and is nobody's."""
        signer = x509.load_pem_x509_certificate((self.place / "signer.pem").read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        return _certificate(
            signer.subject, signer.issuer, key, key, is_root=False, serial=signer.serial_number
        )

    def answer(self, request: bytes) -> bytes:
        (self.place / "in.tsq").write_bytes(request)
        done = subprocess.run(
            ["openssl", "ts", "-reply", "-config", str(self.place / "openssl.cnf"), "-section", "station",
             "-queryfile", str(self.place / "in.tsq"), "-out", str(self.place / "out.tsr")],
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        self.asked.append(request)
        return (self.place / "out.tsr").read_bytes()


@dataclass
class AuthorityServer:
    """The authority behind HTTP (RFC 3161 section 3.4); `lie` replaces its answer."""

    authority: Authority
    lie: bytes | None = None
    status: int = 200

    def __enter__(self) -> Self:
        outer = self

        class Desk(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/timestamp-query"
                answer = outer.authority.answer(body) if outer.lie is None else outer.lie
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey, *, is_root: bool, serial: int = 0,
) -> bytes:  # fmt: skip
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )  # fmt: skip
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **usage), True
    )
    if not is_root:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
        )
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)
