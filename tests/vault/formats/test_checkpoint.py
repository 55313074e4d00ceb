from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, CheckpointError, parse_checkpoint
from vault.formats.merkle import EMPTY_ROOT
from vault.formats.note import NoteSignatureError, SigningKey, sign_note

KEY = SigningKey.generate("sealdock/x")
EXAMPLE = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"  # c2sp.org


def test_reads_the_specifications_example() -> None:
    checkpoint = Checkpoint.parse(EXAMPLE)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == EXAMPLE


@given(st.integers(0, 10**18 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("sealdock/x", size, root)
    assert parse_checkpoint(checkpoint.signed(KEY), KEY.verifier) == checkpoint


def test_extension_lines_are_kept() -> None:
    checkpoint = Checkpoint("sealdock/x", 0, EMPTY_ROOT, ("more",))
    assert parse_checkpoint(checkpoint.signed(KEY), KEY.verifier) == checkpoint


def test_a_key_does_not_speak_for_another_log() -> None:
    with pytest.raises(NoteSignatureError, match="does not speak"):
        parse_checkpoint(Checkpoint("sealdock/y", 0, EMPTY_ROOT).signed(KEY), KEY.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n1\n\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        EXAMPLE[:-1],
        EXAMPLE + "\n",
        EXAMPLE.replace("20852163", "020852163"),
        EXAMPLE.replace("20852163", "-1"),
        EXAMPLE.replace("20852163", "+1"),
        EXAMPLE.replace("20852163", "1_0"),
        EXAMPLE.replace("20852163", "\u0661"),  # an Arabic-Indic one is a digit to int()
        EXAMPLE.replace("20852163", "9" * 5000),
        EXAMPLE.replace("CsUY", "Cs-Y"),
        EXAMPLE.replace("q2I=", "q2J="),  # the same bytes in another spelling
        EXAMPLE.replace("q2I=", ""),
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)


@given(st.text(max_size=120))
def test_any_signed_text_is_read_or_refused(text: str) -> None:
    try:
        parse_checkpoint(sign_note(text, KEY), KEY.verifier)
    except VaultError:
        return
    assert text.startswith("sealdock/x\n")
