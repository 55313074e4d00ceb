"""Signed notes with Ed25519 (c2sp.org/signed-note; the keys' text forms are those of Go's x/mod sumdb/note).

Invariant: `open_note` gives out a text only after a signature of a key that the caller named was checked; a
bad signature by a named key refuses the whole note, signatures by unknown keys are ignored. A note's bytes
have one reading: valid UTF-8, no control characters, the text ends before the last empty line.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import Exit
from vault.error import VaultError

NOTE_LIMIT = 1_000_000  # bytes, as Go's note.Open
SIGNATURE_LIMIT = 100  # signatures, as Go's note.Open; the specification asks for at least 16
_ED25519 = b"\x01"  # signature type
_KEY_ID_SIZE = 4
_KEY_SIZE = 32
_DASH = "\N{EM DASH} "
_PRIVATE = "PRIVATE+KEY+"


class NoteError(VaultError):
    """Bytes that are not a signed note."""

    code = "vault.note"
    sentence = (
        "This is not a signed note ({why}). Nothing in it can be relied on; get it again from its source."
    )
    exit_code = Exit.NO


class NoteSignatureError(NoteError):
    """No named key signed the note, or a signature that claims to be one's is false."""

    code = "vault.note_signature"
    sentence = (
        "The signature does not hold ({why}). The text was changed after signing or belongs to another "
        "vault; do not rely on it."
    )


class NoteKeyError(VaultError):
    """Text that is not a verifier key or a signing key."""

    code = "vault.note_key"
    sentence = (
        "This is not a {kind} ({why}). Nothing was checked; use the key that `sealdock vault init` printed."
    )


@dataclass(frozen=True)
class Signature:
    """One signature line, not yet checked."""

    name: str
    key_id: bytes
    raw: bytes

    @property
    def line(self) -> bytes:
        """The line as it stands in a note."""
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.raw).decode()}\n".encode()


@dataclass(frozen=True)
class VerifierKey:
    """A public key and the name it signs under; equal keys are the same key."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read `<name>+<key id>+<base64>`. Raises NoteKeyError."""
        name, key_id, raw = _split_key(vkey, "verifier key")
        key = cls(name, raw)
        if key.key_id != key_id:
            raise NoteKeyError(kind="verifier key", why="its identifier does not fit")
        return key

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The form to hand out, `<name>+<key id>+<base64>`."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the raw public key in groups of four hexadecimal digits, to be read aloud and compared."""
        digest = sha256(self.public).hexdigest()
        return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))

    def made(self, signature: Signature) -> bool:
        """Whether `signature` claims to be this key's (name and identifier); says nothing of its truth."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def check(self, text: str, signature: Signature) -> None:
        """Raises NoteSignatureError unless `signature` is this key's over `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature.raw, text.encode())
        except (InvalidSignature, ValueError) as cause:
            raise NoteSignatureError(why=f"the signature named {self.name} is false") from cause


class SigningKey:
    """A private key and its name; its repr never shows it."""

    def __init__(self, name: str, seed: bytes) -> None:
        if not _is_name(name):
            raise NoteKeyError(kind="signing key", why="its name is not a key name")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self.name = name
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """A fresh key. Raises NoteKeyError for a name with spaces, `+` or nothing in it."""
        return cls(name, token_bytes(_KEY_SIZE))

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read `PRIVATE+KEY+<name>+<key id>+<base64>`. Raises NoteKeyError."""
        if not text.startswith(_PRIVATE):
            raise NoteKeyError(kind="signing key", why="it does not start with PRIVATE+KEY+")
        name, key_id, seed = _split_key(text.removeprefix(_PRIVATE), "signing key")
        key = cls(name, seed)
        if key.verifier.key_id != key_id:
            raise NoteKeyError(kind="signing key", why="its identifier does not fit")
        return key

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """Read the key file at `path`; one newline at its end is allowed. Raises NoteKeyError or OSError."""
        try:
            return cls.parse(path.read_bytes().decode().removesuffix("\n"))
        except UnicodeDecodeError as cause:
            raise NoteKeyError(kind="signing key", why="it is not text") from cause

    @property
    def private_text(self) -> str:
        """What `read` reads; keep it in a file of mode 0400."""
        keyed = b64encode(_ED25519 + self._seed).decode()
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{keyed}"

    @property
    def vkey(self) -> str:
        """The verifier key's text, to hand out."""
        return self.verifier.vkey

    def sign(self, text: str) -> bytes:
        """The signature line over `text`, with its newline."""
        return Signature(self.name, self.verifier.key_id, self._key.sign(text.encode())).line


@dataclass(frozen=True)
class Note:
    """A parsed note, not yet checked."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Note:
        """Take a note apart. Raises NoteError."""
        text, signatures = _split_note(_decode(raw))
        lines = signatures.removesuffix("\n").split("\n")
        if not signatures.endswith("\n") or len(lines) > SIGNATURE_LIMIT:
            raise NoteError(why="its signature lines are malformed or too many")
        return cls(text, tuple(_parse_signature(line) for line in lines))

    def signers(self, verifiers: Collection[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Those of `verifiers` that signed. Raises NoteSignatureError for a false signature in their name."""
        signed = []
        for verifier in verifiers:
            own = [signature for signature in self.signatures if verifier.made(signature)]
            for signature in own:
                verifier.check(self.text, signature)
            signed += [verifier] if own else []
        return tuple(signed)


def sign_note(text: str, *keys: SigningKey) -> bytes:
    """`text` with a signature by each key. Raises NoteError for a text that no note can carry."""
    if not keys:
        raise NoteError(why="nobody signs it")
    raw = f"{text}\n".encode() + b"".join(key.sign(text) for key in keys)
    if Note.parse(raw).text != text:
        raise NoteError(why="the text would read as something else")
    return raw


def open_note(note: bytes, verifiers: Collection[VerifierKey]) -> str:
    """The text of `note` once at least one of `verifiers` is found to have signed it.

    Raises NoteError for malformed bytes and NoteSignatureError for a false signature or none of theirs.
    """
    parsed = Note.parse(note)
    if not parsed.signers(verifiers):
        raise NoteSignatureError(why="no trusted key signed it")
    return parsed.text


def _decode(raw: bytes) -> str:
    if len(raw) > NOTE_LIMIT:
        raise NoteError(why="it is too long")
    try:
        text = raw.decode()
    except UnicodeDecodeError as cause:
        raise NoteError(why="it is not UTF-8") from cause
    if any(letter < " " and letter != "\n" for letter in text):
        raise NoteError(why="it has control characters")
    return text


def _split_note(whole: str) -> tuple[str, str]:
    place = whole.rfind("\n\n")
    if place < 0:
        raise NoteError(why="it has no signatures")
    return whole[: place + 1], whole[place + 2 :]


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _base64(encoded)
    if not line.startswith(_DASH) or not _is_name(name) or raw is None or len(raw) <= _KEY_ID_SIZE:
        raise NoteError(why="a signature line is malformed")
    return Signature(name, raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:])


def _split_key(text: str, kind: str) -> tuple[str, bytes, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    if not _is_name(name) or len(key_id) != 2 * _KEY_ID_SIZE or set(key_id) - set("0123456789abcdef"):
        raise NoteKeyError(kind=kind, why="it is malformed")
    if raw is None or len(raw) != 1 + _KEY_SIZE or raw[:1] != _ED25519:
        raise NoteKeyError(kind=kind, why="it holds no Ed25519 key")
    return name, bytes.fromhex(key_id), raw[1:]


def _is_name(name: str) -> bool:
    printable = all(letter >= " " and not "\ud800" <= letter <= "\udfff" for letter in name)
    return bool(name) and "+" not in name and not any(map(str.isspace, name)) and printable


def _base64(text: str) -> bytes | None:
    """Canonical padded base64, or None."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw).decode() == text else None
