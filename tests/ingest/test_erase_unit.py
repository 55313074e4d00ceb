"""The eraser believes nobody: whatever a dock in other hands asks, only what the log permits goes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from socket import socketpair
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import utc_now
from devices.eraser import Content, Fate
from devices.mount import Mount, mount_read_only, set_read_only
from ingest.erase_evidence import NoWarrantError, Terms, check_erasable, check_warrant
from ingest.erase_line import CardOpenError, EraserError, Exchange, Reach
from ingest.erase_unit import CANNOT, WRONG_USE, Eraser, main
from ingest.workplace import keep_all
from vault.log.index import receipt_of

from .erase_scene import FILES, Scene, scene


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Scene]:
    """A station with a sealed card, which is mounted as the dock does, and nothing erased."""
    with scene(tmp_path) as made:
        made.dock(keep_all)
        yield made


@pytest.fixture
def card(at: Scene) -> Iterator[Mount]:
    set_read_only(at.loop)
    mount = mount_read_only(at.loop, "ext4", at.mounts, "card")
    yield mount
    mount.close()


def reach(at: Scene, days: int = 0) -> Reach:
    return Reach(at.mounts.parent / "none.sock", at.station.vault.path, at.mounts, days)


def receipts(at: Scene) -> list[tuple[bytes, bytes]]:
    """Path and receipt of each recording."""
    with at.station.db.reading() as session:
        return [(row.path, receipt_of(session, row.id) or b"") for row in at.rows()]


@pytest.fixture
def permitted(at: Scene) -> bytes:
    """A warrant as a real run has it, for everything on the card; nothing was erased under it."""
    at.dock(at.policy())
    at.refill(is_same=True)
    (allowed,) = at.entries("allowed")
    place = next(i for i, leaf in enumerate(at.reader.leaves()) if leaf.id == allowed.id)
    return at.reader.proof(place)


def test_without_a_warrant_nothing_goes(at: Scene, card: Mount) -> None:
    path, receipt = receipts(at)[0]
    with pytest.raises(EraserError, match="no warrant"), reach(at).exchange(at.loop.name) as exchange:
        exchange.erase(path, receipt)
    assert len(list(card.root.rglob("*.MP4"))) == len(FILES)


def test_a_receipt_is_no_warrant(at: Scene, card: Mount) -> None:
    with pytest.raises(EraserError, match="is no warrant"), reach(at).exchange(at.loop.name) as exchange:
        exchange.warrant(receipts(at)[0][1])
    assert len(list(card.root.rglob("*.MP4"))) == len(FILES)


def test_under_a_warrant_a_name_with_another_files_receipt_stays(
    at: Scene, permitted: bytes, card: Mount
) -> None:
    (first, _), (_, second) = receipts(at)[:2]
    with reach(at).exchange(at.loop.name) as exchange:
        exchange.warrant(permitted)
        assert exchange.erase(first, second) is Fate.DIFFERS
        assert exchange.end() is not None
    assert len(list(card.root.rglob("*.MP4"))) == len(FILES)


def test_what_the_log_permits_goes_and_the_days_of_grace_are_the_units_own(
    at: Scene, permitted: bytes, card: Mount
) -> None:
    path, receipt = receipts(at)[0]
    with pytest.raises(EraserError, match="days of grace"):
        _erase_one(reach(at, 30), at.loop.name, permitted, path, receipt)
    with reach(at).exchange(at.loop.name) as exchange:
        exchange.warrant(permitted)
        assert exchange.erase(path, receipt) is Fate.ERASED
        assert exchange.erase(path, receipt) is Fate.NOT_THERE
        assert (exchange.end() or 0) > 0
    assert len(list(card.root.rglob("*.MP4"))) == len(FILES) - 1


def _erase_one(where: Reach, card: str, warrant: bytes, path: bytes, receipt: bytes) -> Fate:
    with where.exchange(card) as exchange:
        exchange.warrant(warrant)
        return exchange.erase(path, receipt)


def test_a_warrant_is_old_after_an_hour_and_speaks_of_its_own_recordings(at: Scene, permitted: bytes) -> None:
    terms, now = Terms(at.station.vault, 0), utc_now()
    warrant = check_warrant(permitted, terms, now)
    for wrong in (now + timedelta(hours=2), now - timedelta(hours=2)):
        with pytest.raises(NoWarrantError, match="too old"):
            check_warrant(permitted, terms, wrong)
    receipt = receipts(at)[0][1]
    assert isinstance(check_erasable(receipt, warrant, terms, now), Content)
    other = warrant.__class__(
        warrant.id, warrant.type, warrant.time, warrant.by, about=warrant.about[:1], facts=warrant.facts
    )
    with pytest.raises(NoWarrantError, match="does not name"):
        check_erasable(receipt, other, terms, now)
    spoilt = bytearray(receipt)
    spoilt[-20] ^= 1
    with pytest.raises(NoWarrantError):
        check_erasable(bytes(spoilt), warrant, terms, now)
    with pytest.raises(NoWarrantError, match="no whole recording"):
        check_erasable(permitted, warrant, terms, now)


def test_a_card_that_the_dock_has_not_mounted_is_refused(at: Scene) -> None:
    with pytest.raises(EraserError, match="has not mounted"), reach(at).exchange(at.loop.name):
        pass


_text = st.text(max_size=20)
_lines = st.one_of(
    st.binary(max_size=80),
    st.dictionaries(
        st.sampled_from(["card", "warrant", "path", "receipt", "end"]),
        st.one_of(
            _text,
            st.booleans(),
            st.none(),
            st.integers(),
            _text.map(lambda t: b64encode(t.encode()).decode()),
        ),
    ).map(lambda asked: json.dumps(asked).encode()),
)


@given(lines=st.lists(_lines, max_size=6))
def test_whatever_is_asked_is_answered_by_a_line_and_never_by_an_exception(lines: list[bytes]) -> None:
    vault: Any = None  # no receipt comes so far that its vault is asked
    question = io.BytesIO(b"\n".join(line.replace(b"\n", b" ") for line in lines) + b"\n")
    reply = io.BytesIO()
    Eraser(Terms(vault, 0), Path("/nowhere")).answer(question, reply)
    for answer in reply.getvalue().splitlines():
        assert "refused" in json.loads(answer)


def test_where_the_settings_keep_it_refuses_before_the_first_question(tmp_path: Path) -> None:
    settings = tmp_path / "sealdock.toml"
    settings.write_text('vault = "vault"\nstate = "state"\nkeys = "keys"\n')
    done = subprocess.run(
        [sys.executable, "-m", "ingest.erase_unit", "settings", str(settings)], input="", capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == CANNOT
    assert "keep their footage" in json.loads(done.stdout)["refused"]
    assert main([]) == WRONG_USE


def test_an_eraser_that_is_silent_or_talks_nonsense_is_an_error_and_not_a_success() -> None:
    class Line:
        def sendall(self, _: bytes) -> None:
            pass

    line: Any = Line()
    for said in (b"", b"nonsense\n", b"[]\n", b'{"refused": "no"}\n', b'{"fate": "perhaps"}\n'):
        with pytest.raises(EraserError):
            Exchange("sda1", line, io.BytesIO(said)).erase(b"a", b"b")


def test_the_last_file_of_a_warrant_goes_within_its_hour_too(at: Scene, permitted: bytes) -> None:
    terms, now = Terms(at.station.vault, 0), utc_now()
    warrant = check_warrant(permitted, terms, now)
    with pytest.raises(NoWarrantError, match="too old"):
        check_erasable(receipts(at)[0][1], warrant, terms, now + timedelta(hours=2))


def test_a_warrant_that_asks_for_less_than_the_settings_is_none(at: Scene, permitted: bytes) -> None:
    now, vault = utc_now(), at.station.vault
    with pytest.raises(NoWarrantError, match="second copy"):
        check_warrant(permitted, Terms(vault, 0, replicated=True), now)
    outside = Terms(vault, 0, witnessed=True)
    with pytest.raises(NoWarrantError, match="vouched"):
        check_erasable(receipts(at)[0][1], check_warrant(permitted, outside, now), outside, now)


def test_nothing_goes_once_the_dock_that_asked_has_gone(at: Scene, permitted: bytes, card: Mount) -> None:
    path, receipt = receipts(at)[0]
    asked = [
        {"card": at.loop.name},
        {"warrant": b64encode(permitted).decode()},
        {"path": b64encode(path).decode(), "receipt": b64encode(receipt).decode()},
    ]
    ours, theirs = socketpair()
    with theirs, theirs.makefile("rb") as question, io.BytesIO() as reply:
        with ours:
            ours.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in asked))
        Eraser(Terms(at.station.vault, 0), at.mounts).answer(question, reply)
        assert json.loads(reply.getvalue().splitlines()[-1]) == {"fate": Fate.NOT_ASKED}
    assert len(list(card.root.rglob("*.MP4"))) == len(FILES)


def test_an_exchange_ends_when_the_other_side_has_and_a_card_left_open_is_said() -> None:
    for said in (b"", b'{"refused": "the medium", "left_open": true}\n'):
        ours, theirs = socketpair()
        with ours, theirs, ours.makefile("rb") as answers:
            theirs.sendall(b'{"fate": "erased"}\n' + said)
            theirs.close()
            exchange = Exchange("sda1", ours, answers)
            if said:
                with pytest.raises(CardOpenError, match="left_open"):
                    exchange.wait_closed()
            else:
                exchange.wait_closed()


def test_an_eraser_that_dies_with_the_card_open_is_said_to_have_left_it_open() -> None:
    ours, theirs = socketpair()
    with ours, theirs, ours.makefile("rb") as answers:
        theirs.shutdown(1)
        with pytest.raises(CardOpenError):
            Exchange("sda1", ours, answers).erase(b"a", b"b")
