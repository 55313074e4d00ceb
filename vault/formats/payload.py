"""The payload of an age file: 64 KiB chunks of ChaCha20-Poly1305 in STREAM order (c2sp.org/age, Payload).

Invariants: no byte leaves a reader before its chunk's tag was checked, and no reader opens a payload whose
last chunk is not marked as the last, so a shortened, reordered or spliced object is refused even by a reader
that only wants its first byte. Chunk i lies at i * 65552 of the stored file. Buffers are reused; the cipher
releases the interpreter lock.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.error import AgeError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Bytes = bytes | bytearray | memoryview

CHUNK_SIZE = 65536  # plaintext bytes of a chunk (c2sp.org/age)
TAG_SIZE = 16  # Poly1305
SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE
NONCE_SIZE = 16  # payload nonce
_READ_AHEAD = 8  # chunks fetched by one system call on a long read: 512 KiB stays in the second-level cache


class PayloadError(AgeError):
    """Stored bytes that the payload key does not vouch for."""

    code = "vault.payload"
    sentence = (
        "The stored bytes {first} to {last} of {name} are not what was sealed ({why}). "
        "Nothing of them was given out; check the object against the log and restore it from a copy."
    )


def payload_key(file_key: bytes, nonce: bytes) -> bytes:
    """The 32-byte key of one payload."""
    return HKDF(SHA256(), 32, salt=nonce, info=b"payload").derive(file_key)


def sealed_size(plain_size: int) -> int:
    """Stored bytes of `plain_size` plaintext bytes; an empty payload is one empty chunk."""
    return plain_size + TAG_SIZE * max(1, -(-plain_size // CHUNK_SIZE))


def plain_size(stored_size: int, name: str = "payload") -> int:
    """Plaintext bytes of a stored payload; raises PayloadError for a length that no payload has."""
    chunks = -(-stored_size // SEALED_CHUNK_SIZE)
    last = stored_size - (chunks - 1) * SEALED_CHUNK_SIZE
    if chunks < 1 or last < TAG_SIZE or (last == TAG_SIZE and chunks > 1):
        raise PayloadError(first=0, last=stored_size, name=name, why="it was cut short")
    return stored_size - chunks * TAG_SIZE


def _chunk_nonce(index: int, *, final: bool) -> bytes:
    return (index << 8 | final).to_bytes(12, "big")


class ChunkSealer:
    """Seals one payload from first chunk to last, from the caller's buffer into the caller's buffer."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self._cipher = ChaCha20Poly1305(payload_key(file_key, nonce))
        self._next_chunk = 0
        self._finished = False

    @property
    def is_finished(self) -> bool:
        """Whether the last chunk was sealed; without it the payload can never be opened."""
        return self._finished

    def seal(self, plaintext: Bytes, out: bytearray | memoryview, *, final: bool) -> int:
        """Seal `plaintext` into the start of `out` and return the number of bytes written there.

        Every call but the last takes a whole number of 64 KiB chunks; the last says `final`, and is empty
        only when the whole payload is. `out` needs `sealed_size(len(plaintext))` bytes. Raises ValueError
        for a caller that breaks this, because such a payload could never be opened.
        """
        source, target = memoryview(plaintext), memoryview(out)
        self._check(len(source), len(target), final=final)
        read = written = 0
        chunks = max(1, -(-len(source) // CHUNK_SIZE)) if final else len(source) // CHUNK_SIZE
        for last in range(chunks - 1, -1, -1):
            piece = source[read : read + CHUNK_SIZE]
            nonce = _chunk_nonce(self._next_chunk, final=final and not last)
            written += self._cipher.encrypt_into(
                nonce, piece, None, target[written : written + len(piece) + TAG_SIZE]
            )
            read += len(piece)
            self._next_chunk += 1
        return written

    def _check(self, size: int, room: int, *, final: bool) -> None:
        if self._finished:
            raise ValueError("this payload was finished")
        if not final and size % CHUNK_SIZE:
            raise ValueError("only the last piece may end inside a chunk")
        if final and not size and self._next_chunk:
            raise ValueError("the last chunk may be empty only when the payload is")
        if room < (sealed_size(size) if final or size else 0):
            raise ValueError("the output buffer is too small")
        self._finished = final


def seal_payload(file_key: bytes, nonce: bytes, plaintext: Bytes) -> bytes:
    """A small payload whole, in memory (bodies, identities)."""
    if len(plaintext) <= CHUNK_SIZE:
        cipher = ChaCha20Poly1305(payload_key(file_key, nonce))
        return cipher.encrypt(_chunk_nonce(0, final=True), plaintext, None)
    sealed = bytearray(sealed_size(len(plaintext)))
    ChunkSealer(file_key, nonce).seal(plaintext, sealed, final=True)
    return bytes(sealed)


class ChunkOpener:
    """Opens one payload from first chunk to last, buffer to buffer: the reverse of ChunkSealer."""

    def __init__(self, file_key: bytes, nonce: bytes, name: str = "payload") -> None:
        self._cipher = ChaCha20Poly1305(payload_key(file_key, nonce))
        self._name = name
        self._next_chunk = 0

    def open(self, sealed: Bytes, out: bytearray | memoryview, *, final: bool) -> int:
        """Open `sealed`, whole chunks unless `final`, into the start of `out`; the number of plaintext bytes.

        Raises PayloadError, and then the chunk that failed is zeros in `out`.
        """
        source, target = memoryview(sealed), memoryview(out)
        read = written = 0
        while read < len(source):
            piece = source[read : read + SEALED_CHUNK_SIZE]
            read += len(piece)
            plain = target[written : written + len(piece) - TAG_SIZE]
            last = final and read == len(source)
            _open_chunk(self._cipher, self._next_chunk, piece, plain, final=last, name=self._name)
            written += len(plain)
            self._next_chunk += 1
        return written


def open_payload(file_key: bytes, nonce: bytes, stored: Bytes, name: str = "payload") -> bytes:
    """The plaintext of a small payload held in memory. Raises PayloadError."""
    plain = bytearray(plain_size(len(stored), name))
    ChunkOpener(file_key, nonce, name).open(stored, plain, final=True)
    return bytes(plain)


def _open_chunk(
    cipher: ChaCha20Poly1305, index: int, sealed: Bytes, out: memoryview, *, final: bool, name: str
) -> None:
    try:
        cipher.decrypt_into(_chunk_nonce(index, final=final), sealed, None, out)
    except InvalidTag as cause:
        out[:] = bytes(len(out))  # what an unchecked tag left behind must not be readable
        first = index * SEALED_CHUNK_SIZE
        why = "the seal of the last chunk does not fit" if final else "the seal of this chunk does not fit"
        raise PayloadError(first=first, last=first + len(sealed) - 1, name=name, why=why) from cause


class PayloadReader(io.RawIOBase):
    """A seekable, read-only view of the plaintext of a stored payload; one thread at a time.

    Owns `descriptor` and closes it. `start` is where the chunks begin (0 for an object, 184 for a
    derivative); `name` is only for messages.
    """

    def __init__(
        self, descriptor: int, file_key: bytes, nonce: bytes, *, start: int = 0, name: str = "payload"
    ) -> None:
        super().__init__()
        self.name = name
        self._descriptor, self._start, self._position = descriptor, start, 0
        try:
            stored = os.fstat(descriptor).st_size - start
            self.size = plain_size(stored, name)
            self._chunks = -(-stored // SEALED_CHUNK_SIZE)
            self._cipher = ChaCha20Poly1305(payload_key(file_key, nonce))
            self._ahead_index = -1  # chunk that lies sealed behind the first one in the buffer
            self._sealed = memoryview(bytearray(min(_READ_AHEAD, self._chunks) * SEALED_CHUNK_SIZE))
            self._held, self._held_index = memoryview(bytearray(min(CHUNK_SIZE, self.size))), -1
            self._hold(self._chunks - 1)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, path: Path, file_key: bytes, nonce: bytes, *, start: int = 0) -> PayloadReader:
        """Open the file at `path`; raises PayloadError when its end is missing or not authentic."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(descriptor, file_key, nonce, start=start, name=path.name)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; seeking from the end is safe because the end was authenticated at opening."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError("negative seek position, or whence that is none")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Plaintext bytes before the next read."""
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as the payload goes with authenticated bytes. Raises PayloadError."""
        if self.closed:  # the descriptor's number may belong to another file by now
            raise ValueError("the reader is closed")
        target = memoryview(buffer).cast("B")
        wanted = max(0, min(len(target), self.size - self._position))
        done = 0
        while done < wanted:
            index, skip = divmod(self._position, CHUNK_SIZE)
            whole = (wanted - done) // CHUNK_SIZE if not skip else 0
            if whole and index != self._held_index:
                taken = self._read_whole(index, target[done : done + min(whole, _READ_AHEAD) * CHUNK_SIZE])
            else:
                taken = min(wanted - done, CHUNK_SIZE - skip)
                self._hold(index, ahead=taken < wanted - done)
                target[done : done + taken] = self._held[skip : skip + taken]
            done += taken
            self._position += taken
        return done

    def readall(self) -> bytes:
        """The rest in one piece; `read()` without a size comes here. Raises PayloadError."""
        rest = bytearray(max(0, self.size - self._position))
        self.readinto(rest)
        return bytes(rest)

    def close(self) -> None:
        """Close the descriptor; the last plaintext held is overwritten."""
        if not self.closed:
            os.close(self._descriptor)
            held = getattr(self, "_held", None)
            if held is not None:
                held[:] = bytes(len(held))
        super().close()

    def _hold(self, index: int, *, ahead: bool = False) -> None:
        """Keep chunk `index` decrypted, for reads that want only part of it; `ahead` fetches the next one with it."""
        if index == self._held_index:
            return
        self._held_index = -1
        size = min(CHUNK_SIZE, self.size - index * CHUNK_SIZE)
        sealed = self._take_ahead(index, size + TAG_SIZE) or self._fetch(index, size + TAG_SIZE, ahead=ahead)
        _open_chunk(
            self._cipher, index, sealed, self._held[:size], final=index == self._chunks - 1, name=self.name
        )
        self._held_index = index

    def _take_ahead(self, index: int, size: int) -> memoryview | None:
        """The sealed chunk when the last fetch brought it along whole; it is given out once."""
        if index != self._ahead_index:
            return None
        self._ahead_index = -1
        return self._sealed[SEALED_CHUNK_SIZE : SEALED_CHUNK_SIZE + size]

    def _read_whole(self, index: int, target: memoryview) -> int:
        """Decrypt full chunks straight into the caller's buffer."""
        count = len(target) // CHUNK_SIZE
        sealed = self._fetch(index, count * SEALED_CHUNK_SIZE)
        for i in range(count):
            piece = sealed[i * SEALED_CHUNK_SIZE : (i + 1) * SEALED_CHUNK_SIZE]
            out = target[i * CHUNK_SIZE : (i + 1) * CHUNK_SIZE]
            final = index + i == self._chunks - 1
            _open_chunk(self._cipher, index + i, piece, out, final=final, name=self.name)
        return len(target)

    def _stored_end(self, chunks: int) -> int:
        return min(chunks * SEALED_CHUNK_SIZE, self.size + self._chunks * TAG_SIZE)

    def _fetch(self, index: int, size: int, *, ahead: bool = False) -> memoryview:
        first = index * SEALED_CHUNK_SIZE
        view, got = self._sealed[:size], 0
        self._ahead_index = -1
        if ahead and index + 1 < self._chunks:
            both = self._sealed[: self._stored_end(index + 2) - first]
            if os.preadv(self._descriptor, [both], self._start + first) == len(both):
                self._ahead_index = index + 1
                return view
        while got < size:
            count = os.preadv(self._descriptor, [view[got:]], self._start + first + got)
            if not count:
                raise PayloadError(
                    first=first, last=first + size - 1, name=self.name, why="the file ends early"
                )
            got += count
        return view
