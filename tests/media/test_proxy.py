"""Proxies: what FFmpeg reads of them and what a real Chromium plays of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import pytest
from playwright.sync_api import Browser
from support.footage import SECONDS, clip

from media.fragment import FragmentError
from media.probe import MediaFacts, probe
from media.proxy import LINES, Proxy
from media.walls import Limits

LIMITS = Limits(wall_s=120, output_bytes=100 << 20, idle=False)
SEEK_S = 2.6


def facts_of(name: str) -> MediaFacts:
    return probe(clip(name), LIMITS)


def made(name: str, progress: list[float] | None = None) -> bytes:
    proxy = Proxy(clip(name), facts_of(name), LIMITS, None if progress is None else progress.append)
    body = b"".join(proxy)
    return proxy.head() + body


@pytest.mark.parametrize("name", ["hevc", "ts", "mjpeg", "mpeg4"])
def test_every_picture_and_all_sound_are_there_as_h264(name: str, tmp_path: Path) -> None:
    path = tmp_path / "proxy.mp4"
    path.write_bytes(made(name))
    with av.open(str(path)) as container:
        video, audio = container.streams
        assert (video.codec_context.codec.canonical_name, audio.codec_context.codec.canonical_name) == (
            "h264",
            "aac",
        )
        assert (video.width, video.height, video.codec_context.pix_fmt) == (320, 180, "yuv420p")
        frames = list(container.decode(video=0))
        assert len(frames) == pytest.approx(SECONDS * 10, abs=1)
        assert frames[-1].time == pytest.approx(SECONDS - 0.1, abs=0.15)
        container.seek(0)
        heard = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert heard == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize(
    ("name", "size"), [("large", (960, LINES)), ("portrait", (302, LINES)), ("hevc", (320, 180))]
)
def test_a_large_picture_is_made_smaller_and_a_small_one_is_not(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "proxy.mp4"
    path.write_bytes(made(name))
    with av.open(str(path)) as container:
        assert (container.streams[0].width, container.streams[0].height) == size


def test_sound_in_a_foreign_format_becomes_aac(tmp_path: Path) -> None:
    path = tmp_path / "proxy.m4a"
    path.write_bytes(made("wav"))
    with av.open(str(path)) as container:
        assert [s.codec_context.codec.canonical_name for s in container.streams] == ["aac"]
        assert container.duration / av.time_base == pytest.approx(SECONDS, abs=0.1)


def test_progress_goes_from_nothing_to_all() -> None:
    told: list[float] = []
    made("hevc", told)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0, abs=0.05)


def test_a_proxy_that_was_not_read_to_its_end_has_no_head() -> None:
    proxy = Proxy(clip("hevc"), facts_of("hevc"), LIMITS)
    for _ in proxy:
        break
    with pytest.raises(FragmentError):
        proxy.head()


@pytest.fixture
def address() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server on loopback that answers ranges, as the console does."""
    files: dict[str, bytes] = {}

    class Ranges(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = files.get(self.path, b"<video muted></video>")
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start, stop = (
                (int(asked[1]), int(asked[2] or len(content) - 1) + 1) if asked else (0, len(content))
            )
            self.send_response(206 if asked else 200)
            self.send_header("Content-Type", "video/mp4" if self.path in files else "text/html")
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            self.send_header("Content-Length", str(stop - start))
            self.end_headers()
            self.wfile.write(content[start:stop])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", files
    server.shutdown()
    thread.join()
    server.server_close()


LOOK = """async ([source, seekTo]) => {
  const video = document.querySelector('video');
  const on = (name) => new Promise((done, fail) => {
    video.addEventListener(name, done, {once: true});
    video.addEventListener('error', () => fail(new Error(name + ' ' + video.error?.message)), {once: true});
  });
  const loaded = on('loadeddata');
  video.src = source;
  await loaded;
  const shown = new Promise((done) => video.requestVideoFrameCallback((now, frame) => done(frame.mediaTime)));
  const began = performance.now();
  const sought = on('seeked');
  video.currentTime = seekTo;
  await sought;
  return {width: video.videoWidth, height: video.videoHeight, duration: video.duration,
          at: await shown, ms: performance.now() - began};
}"""


@pytest.mark.browser
def test_chromium_shows_a_picture_and_seeks_at_once(
    address: tuple[str, dict[str, bytes]], browser: Browser
) -> None:
    base, files = address
    files["/proxy"], files["/original"] = made("hevc"), clip("h264").read_bytes()
    page = browser.new_page()
    page.goto(f"{base}/")
    direct = page.evaluate(LOOK, ["/original", SEEK_S])
    seen = page.evaluate(LOOK, ["/proxy", SEEK_S])
    page.close()
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["duration"] == pytest.approx(SECONDS, abs=0.1)
    assert seen["at"] == pytest.approx(SEEK_S, abs=0.15)
    assert direct["at"] == pytest.approx(SEEK_S, abs=0.15)
    assert seen["ms"] < max(1000, 5 * direct["ms"])  # without the index it takes 5 to 7 s
