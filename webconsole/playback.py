"""Footage over HTTP: range reads that are decrypted on the way out.

    /media/<recording>/original      the sealed file, when a browser can show it
    /media/<recording>/proxy         the labelled copy for what browsers cannot decode
    /media/<recording>/poster        a still     /sprite/<n>  a sheet of stills     /waveform  the loudness

Invariant: no byte leaves without the right to this recording, a `view` entry of this person about it
on the log, and a key that keyd gave against that entry. Pages ask for the entry before they show the player:
`grant` with the purpose a person gave, `grant_posters` for a whole list at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from casework.access.permission import Permission, Role
from casework.evidence.recording import Recording
from casework.evidence.viewing import VIEW_LIMIT, PurposeCode, Rendition, record_view
from core.errors import Exit, SealdockError
from ingest.media_facts import MediaFacts
from vault.formats.payload import PayloadReader
from vault.keyd import KeydLockedError, KeydUnreachableError, RateLimitedError
from webconsole.auth.session import SignedIn
from webconsole.byterange import UnsatisfiableRangeError, requested_span
from webconsole.context import console, opener
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.opening import ORIGINAL, POSTER, PROXY, NoRenditionError, Opened
from webconsole.reach import reached

blueprint = Blueprint("playback", __name__, url_prefix="/media/<ulid:recording_id>")
PIECE_BYTES = 256 * 1024
FIRST_PIECE_BYTES = 64 * 1024  # one sealed chunk: the first byte after a seek waits for nothing more
STILLS_KEPT_S = 300
SHOWN_INLINE = frozenset(
    {
        "video/mp4", "video/webm", "video/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg",
        "audio/wav", "audio/x-wav", "audio/flac", "audio/webm", "image/jpeg", "image/png", "image/webp",
        "image/gif", "image/avif", "image/bmp", "application/octet-stream", "application/json",
    }
)  # fmt: skip
MEDIA_POLICY = "default-src 'none'; sandbox"  # whatever an evidence file holds, it is not a page of ours
PLACEHOLDER = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 9"><path fill="#8a93a3" fill-opacity=".18" '
    b'd="M0 0h16v9H0z"/><path fill="none" stroke="#8a93a3" stroke-width=".5" d="M6.6 4.2h2.8v2.1H6.6zm.6 '
    b'0v-.7a.8.8 0 0 1 1.6 0v.7"/></svg>'
)


class NotShownError(SealdockError):
    """A browser cannot show this file, and the console hands nothing out by the back door."""

    code = "webconsole.not_shown"
    sentence = (
        "This file cannot be shown in a browser. It is sealed and safe; "
        "to hand it out, make a disclosure package."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class PosterAccess:
    """Whether the pictures of a list can be shown; when not, the sentence for the banner."""

    ready: bool
    sentence: str = ""


def grant(recording_id: str, purpose_code: str, purpose: str = "", rendition: str | None = None) -> str:
    """Enter that the signed-in person looks at a recording, and why; by default at what its player shows.

    Returns the id of the entry. The media addresses work from the next request on (they wait for the log).
    """
    context, account = console(), current_account()
    with context.db.writing() as session:
        shown = rendition or playing(session, recording_id)
        entry = record_view(
            session, context.submitter, account.id, [recording_id], shown, purpose_code, purpose
        )
    context.submitter.ring()
    return entry


def grant_posters(recordings: Sequence[str]) -> PosterAccess:
    """Enter a viewing of the stills of all recordings on a page; call it once for each list shown."""
    if not recordings:
        return PosterAccess(ready=True)
    enter_views(recordings, Rendition.POSTER, _list_purpose(current_account()))
    return keys_open()


def enter_views(
    recordings: Sequence[str], rendition: Rendition, code: PurposeCode, purpose: str = ""
) -> list[str]:
    """Enter that the signed-in person looks at these recordings; one entry names as many as an entry can.

    Returns the ids of the entries, in the order of the recordings.
    """
    context, account, named = console(), current_account(), list(dict.fromkeys(recordings))
    with context.db.writing() as session:
        entries = [
            record_view(
                session,
                context.submitter,
                account.id,
                named[start : start + VIEW_LIMIT],
                rendition,
                code,
                purpose,
            )
            for start in range(0, len(named), VIEW_LIMIT)
        ]
    context.submitter.ring()
    return entries


def keys_open() -> PosterAccess:
    """Whether keyd gives keys now; the sentence says what to do when it does not."""
    try:
        if console().keyd.status().is_unlocked:
            return PosterAccess(ready=True)
        locked: SealdockError = KeydLockedError()
    except KeydUnreachableError as unreachable:
        locked = unreachable
    return PosterAccess(ready=False, sentence=sentence(locked))


def playing(session: Session, recording_id: str) -> str:
    """What the player of this recording shows: the original, or the copy for browsers."""
    facts = session.get(MediaFacts, recording_id)
    return PROXY if facts is not None and facts.play == "proxy" else ORIGINAL


@blueprint.get("/original")
@permits(Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)
def original(recording_id: str) -> Response:
    """The sealed file itself."""
    recording = _reached(recording_id)
    with console().db.reading() as session:
        facts = session.get(MediaFacts, recording.id)
    if facts is None or facts.play != "direct" or facts.mime not in SHOWN_INLINE:
        raise NotShownError
    return send(opener().original(current_account(), recording, facts.mime))


@blueprint.get("/proxy")
@permits(Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)
def proxy(recording_id: str) -> Response:
    """The copy for browsers."""
    return _derivative(recording_id, PROXY)


@blueprint.get("/poster")
@permits(Permission.RECORDING_LIST, Permission.RECORDING_LIST_OWN)
def poster(recording_id: str) -> Response:
    """A still of a list; a grey lock while keyd is locked, so that lists stay lists."""
    try:
        return _derivative(recording_id, POSTER, STILLS_KEPT_S)
    except (KeydLockedError, KeydUnreachableError, RateLimitedError, NoRenditionError):
        return Response(PLACEHOLDER, 503, mimetype="image/svg+xml")


@blueprint.get("/sprite", defaults={"number": 0})
@blueprint.get("/sprite/<int(max=9999):number>")
@permits(Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)
def sprite(recording_id: str, number: int) -> Response:
    """A sheet of stills for the timeline, counted from 0; the worker makes one sheet a recording."""
    return _derivative(recording_id, "sprite" if not number else f"sprite-{number}", STILLS_KEPT_S)


@blueprint.get("/waveform")
@permits(Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)
def waveform(recording_id: str) -> Response:
    """The loudness over time."""
    return _derivative(recording_id, "waveform", STILLS_KEPT_S)


def send(opened: Opened, kept_s: int = 0) -> Response:
    """200, 206, 304 or 416 for the opened bytes (RFC 9110, 13 and 14); the reader is closed in the end."""
    reader, etag = opened.reader, f'"{opened.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": f"private, max-age={kept_s}" if kept_s else "private, no-store",
        "Content-Security-Policy": MEDIA_POLICY,
        "Vary": "Cookie",
    }
    if _is_known(etag):
        reader.close()
        return Response(status=304, headers=headers)
    try:
        span = requested_span(_range_header(etag), reader.size)
    except UnsatisfiableRangeError:
        headers["Content-Range"] = f"bytes */{reader.size}"
        reader.close()
        return Response(status=416, headers=headers, mimetype="text/plain")
    start, stop, status = (0, reader.size, 200) if span is None else (span.start, span.stop, 206)
    if span is not None:
        headers["Content-Range"] = span.content_range
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        reader.close()
        return Response(status=status, headers=headers, mimetype=opened.mime)
    return Response(
        Pieces(reader, start, stop), status, headers, mimetype=opened.mime, direct_passthrough=True
    )


class Pieces:
    """The bytes from `start` to `stop` in pieces.

    The first is small, so that a seek shows at once, and is read before the answer begins, so that damage there
    is still told as an error. Damage further on ends the answer short, which every client notices.
    """

    def __init__(self, reader: PayloadReader, start: int, stop: int) -> None:
        self._reader = reader
        self._left = stop - start
        reader.seek(start)
        try:
            self._first = self._take(FIRST_PIECE_BYTES)
        except BaseException:
            reader.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece, authenticated."""
        piece, self._first = self._first or self._take(PIECE_BYTES), b""
        if not piece:
            self.close()
            raise StopIteration
        return piece

    def close(self) -> None:
        """Close the reader; the server calls it when the client is gone."""
        self._reader.close()

    def _take(self, size: int) -> bytes:
        piece = self._reader.read(min(self._left, size)) if self._left else b""
        self._left -= len(piece)
        return piece


def _derivative(recording_id: str, rendition: str, kept_s: int = 0) -> Response:
    recording = _reached(recording_id, stills=rendition == POSTER)
    opened = opener().derivative(current_account(), recording, rendition)
    if opened.mime not in SHOWN_INLINE:
        opened.reader.close()
        raise NotShownError
    return send(opened, kept_s)


def _reached(recording_id: str, *, stills: bool = False) -> Recording:
    if stills:
        return reached(recording_id, Permission.RECORDING_LIST, Permission.RECORDING_LIST_OWN)
    return reached(recording_id, Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)


def _list_purpose(account: SignedIn) -> PurposeCode:
    if account.roles <= {Role.OFFICER}:
        return PurposeCode.OWN
    return PurposeCode.SUPERVISION if Role.HEAD in account.roles else PurposeCode.CASE


def _range_header(etag: str) -> str | None:
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != etag:
        return None
    return request.headers.get("Range")


def _is_known(etag: str) -> bool:
    known = request.headers.get("If-None-Match", "")
    return etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}
