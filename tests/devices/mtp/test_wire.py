from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.mtp.facts import facts_of, items_of
from devices.mtp.link import CHECKOUT
from devices.mtp.operation import READS, WRITES, Operations
from devices.mtp.wire import MOST_PACKET, Channel, WireError


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield Channel(ours), theirs


@pytest.mark.parametrize("packet", [b"x", b"[]", b"\xff", b"[" * 5000, b"1" * 5000, b" " * (MOST_PACKET + 1)])
def test_what_is_no_message_is_a_wire_error(ends: tuple[Channel, socket.socket], packet: bytes) -> None:
    channel, theirs = ends
    theirs.send(packet)
    with pytest.raises(WireError):
        channel.receive(1.0)


def test_silence_is_no_message_and_an_end_is_an_error(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    assert channel.receive(0.0) is None
    theirs.close()
    with pytest.raises(WireError):
        channel.receive(1.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(texts=JSON, battery=JSON, storages=JSON, items=JSON)
def test_whatever_a_worker_says_is_facts_or_a_wire_error(
    texts: object, battery: object, storages: object, items: object
) -> None:
    said = {"texts": texts, "battery": battery, "storages": storages, "items": items}
    for read in (facts_of, items_of):
        try:
            read(json.loads(json.dumps(said)))
        except WireError:
            continue


def test_an_unknown_operation_counts_as_one_that_changes() -> None:
    operations = Operations()
    operations.add({0x1002: 1, 0x9FFF: 2})
    assert operations.changing == (0x9FFF,)
    assert operations.acts[-1].changed
    assert not set(READS) & set(WRITES)


def test_callbacks_have_their_memory_before_the_walls_stand() -> None:
    """As under MemoryDenyWriteExecute: libffi then wants a nameless file, and the worker may write to none."""
    code = """
import ctypes, sys
deny_write_execute, refuse_exec_gain = 65, 1  # PR_SET_MDWE (prctl(2), Linux 6.3)
if ctypes.CDLL(None).prctl(deny_write_execute, refuse_exec_gain, 0, 0, 0):
    sys.exit(77)
from devices.mtp import worker
worker.confine()
sort = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ctypes.CDLL(None).qsort((ctypes.c_int * 4)(), 4, 4, sort(lambda one, other: 0))
"""
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=CHECKOUT, capture_output=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid memory that is written and executed")
    assert done.returncode == 0, done.stderr.decode()
