"""The index of every kind of file, and an answer that is changed in one place."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import av
import pytest
from support.footage import SECONDS, clip

from media import sandbox
from media.error import (
    EmptyFileError,
    MalformedIndexError,
    NotMediaError,
    RefusedFileError,
    TruncatedFileError,
)
from media.index import MediaIndex, index, parse, read_packets, stored_facts
from media.picture import jpeg_size
from media.play import Play, decide, mime
from media.probe import MediaFacts, probe, tool
from media.walls import Limits

LIMITS = Limits(wall_s=60, output_bytes=100 << 20, idle=False)
EXPECTED = {  # container, video, audio, shown how, as what
    "h264": ("mp4", "h264", "aac", Play.DIRECT, "video/mp4"),
    "mov": ("mov", "h264", "aac", Play.DIRECT, "video/mp4"),
    "fragmented": ("mp4", "h264", "aac", Play.DIRECT, "video/mp4"),
    "silent": ("mp4", "h264", None, Play.DIRECT, "video/mp4"),
    "hevc": ("mp4", "hevc", "aac", Play.PROXY, "application/octet-stream"),
    "ts": ("mpegts", "h264", "aac", Play.PROXY, "application/octet-stream"),
    "mjpeg": ("avi", "mjpeg", "pcm_s16le", Play.PROXY, "application/octet-stream"),
    "mpeg4": ("3gp", "mpeg4", "aac", Play.PROXY, "application/octet-stream"),
    "photo": ("jpeg_pipe", "mjpeg", None, Play.DIRECT, "image/jpeg"),
    "wav": ("wav", None, "pcm_s16le", Play.DIRECT, "audio/wav"),
    "mp3": ("mp3", None, "mp3", Play.DIRECT, "audio/mpeg"),
    "adts": ("aac", None, "aac", Play.DIRECT, "audio/aac"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_kind_of_file(name: str) -> None:
    container, video, audio, play, shown_as = EXPECTED[name]
    made = index(clip(name), LIMITS)
    facts = made.facts
    assert container in facts.container.split(",")
    assert (facts.video.codec if facts.video else None) == video
    assert (facts.audio.codec if facts.audio else None) == audio
    assert (decide(facts), mime(facts)) == (play, shown_as)
    assert not facts.is_cut
    assert (made.poster is not None) == (video is not None)
    assert (made.waveform is not None) == (audio is not None)
    assert (made.sprite is not None) == (facts.kind == "video")
    if facts.kind != "image":
        assert facts.duration_ms == pytest.approx(SECONDS * 1000, abs=60)


def test_the_packet_map_is_what_ffmpeg_reads() -> None:
    made = index(clip("h264"), LIMITS)
    rows = made.packet_map()
    with av.open(str(clip("h264"))) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert list(rows.times) == [p.pts for p in packets]
    assert list(rows.places) == [p.pos for p in packets]
    assert list(rows.sizes) == [p.size for p in packets]
    assert list(rows.keys) == [int(p.is_keyframe) for p in packets]
    assert stored_facts(made.stored()) == made.facts


def test_thumbnails_are_in_order_and_the_sheet_holds_them() -> None:
    made = index(clip("hevc"), LIMITS)
    layout = made.facts.sprite
    assert layout.times_ms == [0, 1000, 2000, 3000]
    assert jpeg_size(made.sprite) == (4 * layout.width, layout.height)
    assert jpeg_size(made.poster) == (320, 180)


def test_a_turned_recording_has_an_upright_poster() -> None:
    made = index(clip("rotated"), LIMITS)
    assert made.facts.video.rotation in {90, 270}
    assert jpeg_size(made.poster) == (180, 320)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("truncated", TruncatedFileError),
        ("empty", EmptyFileError),
        ("text", NotMediaError),
        ("bomb", RefusedFileError),
    ],
)
def test_what_cannot_be_shown_says_why(name: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        index(clip(name), LIMITS)
    assert "sealed" in str(caught.value)


def test_playlists_and_scripts_are_not_followed(tmp_path: Path) -> None:
    for content in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/in/original\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
    ):
        path = tmp_path / "list"
        path.write_text(content)
        with pytest.raises(NotMediaError):
            index(path, LIMITS)


def test_a_recording_cut_in_the_middle_keeps_what_came_before(tmp_path: Path) -> None:
    whole = clip("fragmented").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    made = index(path, LIMITS)
    assert 1000 < made.facts.duration_ms < SECONDS * 1000
    assert made.poster is not None


def test_probing_reads_the_same_facts_without_the_packets() -> None:
    seen, whole = probe(clip("h264"), LIMITS), index(clip("h264"), LIMITS).facts
    assert (seen.kind, seen.container, seen.audio.codec) == (whole.kind, whole.container, whole.audio.codec)
    assert same_but(seen.video.model_dump(), whole.video.model_dump(), {"packets", "keyframes"})


def same_but(left: dict, right: dict, without: set[str]) -> bool:
    return {k: v for k, v in left.items() if k not in without} == {
        k: v for k, v in right.items() if k not in without
    }


@pytest.fixture(scope="module")
def answer() -> bytes:
    """What the tool really says about one recording."""
    return sandbox.run(tool(clip("h264")), LIMITS)


def changed(answer: bytes, **facts: object) -> bytes:
    """The same answer with other facts."""
    start = answer.index(b"fact") + 8
    size = int.from_bytes(answer[start - 4 : start], "big")
    said = json.loads(answer[start : start + size]) | facts
    raw = json.dumps(said).encode()
    return answer[: start - 4] + len(raw).to_bytes(4, "big") + raw + answer[start + size :]


def test_one_changed_fact_is_noticed(answer: bytes) -> None:
    assert isinstance(parse(changed(answer)), MediaIndex)
    video, sprite = parse(answer).facts.video.model_dump(), parse(answer).facts.sprite.model_dump()
    for facts in (
        {"v": 2}, {"kind": "film"}, {"kind": "audio", "audio": None}, {"container": "<script>"},
        {"duration_ms": 10**12},
        {"duration_ms": True}, {"video": None}, {"extra": 1}, {"sprite": None},
        {"video": video | {"width": 10**6}}, {"video": video | {"packets": 1}}, {"video": video | {"packets": 1 << 31}},
        {"sprite": sprite | {"columns": 1}}, {"sprite": sprite | {"times_ms": sprite["times_ms"][::-1]}},
        {"sprite": sprite | {"times_ms": []}},
    ):  # fmt: skip
        with pytest.raises(MalformedIndexError):
            parse(changed(answer, **facts))


def test_a_picture_that_is_none_is_noticed(answer: bytes) -> None:
    for old, new in ((b"post", b"\x89PNG"), (b"tile", b"<svg")):
        place = answer.index(old) + 8
        with pytest.raises(MalformedIndexError):
            parse(answer[:place] + new + answer[place + 4 :])


def test_a_packet_map_that_unpacks_too_far_is_noticed() -> None:
    assert len(read_packets(zlib.compress(bytes(21 * 10)), 10).times) == 10
    for raw, rows in (
        (zlib.compress(bytes(21 * 11)), 10),
        (zlib.compress(bytes(1 << 26)), 10),
        (b"nonsense", 1),
        (b"", 1),
    ):
        with pytest.raises(MalformedIndexError):
            read_packets(raw, rows)


def test_facts_are_read_strictly() -> None:
    with pytest.raises(MalformedIndexError):
        MediaFacts.parse(b"[]")
    with pytest.raises(MalformedIndexError):
        MediaFacts.parse(b"\xff")


def test_a_packet_map_of_more_rows_than_a_recording_can_hold_is_not_even_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zlib, "decompressobj", lambda: pytest.fail("it was opened"))
    with pytest.raises(MalformedIndexError, match="more pictures than a recording can hold"):
        read_packets(zlib.compress(b""), 4_000_001)
