from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from emulation.serial_recorder import Nature, SerialRecorder, framed
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.error import DepartedError
from devices.serial.error import RefusedError, SerialError, SilentError, UnreadableReplyError
from devices.serial.exchange import Exchange
from devices.serial.line import SerialLine
from devices.serial.table import SerialTable
from devices.serial.transcript import Direction, Transcript
from devices.serial.unlock import unlock

from .conftest import access_to, changed, keep_password

BEGINNINGS = [b"$SDRID", b"$SDRPW", b"$SDRTM", b"$SDRBT", b"$SDROW", b"$SDRMS"]
ALIKE = [
    b"$",
    b"*",
    b",",
    b"\r\n",
    framed(b"$SDROK,PW"),
    framed(b"$SDRNO"),
    b"$SDRTM,20261399",
    b"\xff",
    b"\0",
    b"7",
]
ANSWERS = st.dictionaries(
    st.sampled_from(BEGINNINGS),
    st.binary(max_size=600) | st.lists(st.sampled_from(ALIKE), max_size=60).map(b"".join),
    max_size=4,
)
BINARY = {
    "usb": [{"vendor": "1a86", "product": "7523"}],
    "line": {"baud": 9600, "parity": "even"},
    "checksum": {"kind": "crc16-modbus", "written": "little"},
    "identify": {
        "send_hex": "55 AA 01 {checksum}",
        "reply_fields": [
            {"kind": "constant", "hex": "55 AA 81"},
            {"kind": "text", "name": "serial", "length": 7},
            {"kind": "checksum", "length": 2},
        ],
        "refusals": [
            {
                "meaning": "refused",
                "reply_fields": [
                    {"kind": "constant", "hex": "55 AA FF"},
                    {"kind": "checksum", "length": 2},
                ],
            }
        ],
        "timeout_s": 0.3,
        "tries": 2,
    },
    "switch": {"send_hex": "55AA05{checksum}"},
}


@settings(max_examples=25)
@given(answers=ANSWERS)
def test_whatever_a_recorder_says_ends_in_an_answer_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, shipped: SerialTable, answers: dict[bytes, bytes]
) -> None:
    place = tmp_path_factory.mktemp("fuzz")
    keep_password(place / "passwords", "s3cret-Passw0rd")
    access = access_to(changed(shipped, timeout_s=0.05, tries=1), place / "passwords", place)
    kept = Transcript()
    nature = Nature(password=b"s3cret-Passw0rd", answers=answers, echoes=True)
    with SerialRecorder(nature) as recorder, suppress(SerialError, DepartedError):
        unlock(recorder.node, access, transcript=kept)
    assert kept.acts, "whatever happened, what was done is known"
    assert "s3cret" not in "".join(map(str, kept.lines))


def test_binary_messages_are_found_in_noise_on_a_real_tty() -> None:
    table = SerialTable.model_validate(BINARY)
    good = bytes.fromhex("55AA81") + b"B7K0042"
    good += modbus(good)
    assert ask(table, b"\x55\xaa\x55\xaa\x81rubbish" + good) == b"B7K0042"
    spoilt = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(UnreadableReplyError):
        ask(table, spoilt)
    no = bytes.fromhex("55AAFF")
    with pytest.raises(RefusedError):
        ask(table, b"\x00" + no + modbus(no))


def test_a_reply_in_pieces_is_one_reply(shipped: SerialTable) -> None:
    kept = Transcript()
    with (
        SerialRecorder(Nature(byte_delay_s=0.003)) as recorder,
        SerialLine(recorder.node, shipped.line) as line,
    ):
        assert Exchange(line, shipped, kept).ask("identify").values["serial"] == b"X1A0001"
    assert [one.direction for one in kept.lines] == [Direction.SENT, Direction.RECEIVED]


def test_a_partial_reply_is_asked_for_again_and_kept(shipped: SerialTable) -> None:
    kept = Transcript()
    table = changed(shipped, timeout_s=0.1)
    with (
        SerialRecorder(Nature(answers={b"$SDRID": b"$SDRID,X1A0"})) as recorder,
        SerialLine(recorder.node, table.line) as line,
        pytest.raises(UnreadableReplyError, match="33 bytes without a reply"),
    ):
        Exchange(line, table, kept).ask("identify")
    assert [one.text for one in kept.lines if one.direction is Direction.RECEIVED] == ["$SDRID,X1A0"] * 3


def test_what_came_before_the_question_is_no_answer_to_it(shipped: SerialTable) -> None:
    table = changed(shipped, timeout_s=0.1, tries=1)
    with SerialRecorder() as recorder, SerialLine(recorder.node, table.line) as line:
        line.send(b"$SDRID?*77\r\n")
        while not select.select([line._port.fileno()], [], [], 1)[0]:
            continue
        recorder.brain.nature.answers[b"$SDRID"] = b""
        with pytest.raises(SilentError):
            Exchange(line, table, Transcript()).ask("identify")


def ask(table: SerialTable, reply: bytes) -> bytes:
    """The serial that a recorder gives whose reply to everything is `reply`."""
    with binary_recorder(reply) as node, SerialLine(node, table.line) as line:
        return Exchange(line, table, Transcript()).ask("identify").values["serial"]


def modbus(covered: bytes) -> bytes:
    """CRC-16/MODBUS bit by bit, as the standard's flow chart has it."""
    register = 0xFFFF
    for byte in covered:
        register ^= byte
        for _ in range(8):
            odd = register & 1
            register >>= 1
            if odd:
                register ^= 0xA001
    return register.to_bytes(2, "little")


@contextmanager
def binary_recorder(reply: bytes) -> Generator[Path]:
    """A tty whose other end answers every five bytes (a request and its checksum) with the same reply."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    leaving = threading.Event()

    def serve() -> None:
        heard = b""
        while not leaving.is_set():
            if select.select([master], [], [], 0.02)[0]:
                heard += os.read(master, 64)
            while len(heard) >= 5:
                heard = heard[5:]
                os.write(master, reply)

    answering = threading.Thread(target=serve)
    answering.start()
    try:
        yield Path(os.ttyname(slave))
    finally:
        leaving.set()
        answering.join()
        os.close(master)
        os.close(slave)
