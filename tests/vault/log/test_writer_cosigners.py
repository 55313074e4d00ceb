"""Further signature lines under the log's own."""

from __future__ import annotations

from datetime import datetime

from crash.house import House

from core.clock import new_id, stamp, utc_now
from vault.error import VaultError
from vault.formats.cosignature import CosignerSigningKey, Kind
from vault.formats.entry import Leaf
from vault.formats.note import Note
from vault.formats.pack import Private
from vault.log.writer import LogWriter


class Silent:
    """A cosigner whose token was pulled."""

    vkey = "silent"

    def line(self, _text: str, _at: datetime) -> bytes:
        raise VaultError


def entry() -> tuple[Leaf, Private]:
    return Leaf(id=new_id(), type="view", time=stamp(utc_now()), by="console"), Private()


def test_every_checkpoint_carries_the_further_line(house: House) -> None:
    key = CosignerSigningKey.generate(house.vault.origin, Kind.ML_DSA_44)
    writer = LogWriter(house.vault, house.key("log"), [key])
    try:
        done = writer.append([entry()])
    finally:
        writer.close()
    note = Note.parse(done.note)
    own, further = note.signatures
    assert house.vault.verifier.made(own)
    assert key.verifier.made(further)
    assert abs((key.verifier.check(note.text, further) - utc_now()).total_seconds()) < 60
    assert house.reader.checkpoint()[0] == done.checkpoint


def test_a_cosigner_that_fails_holds_nothing_up(house: House) -> None:
    writer = LogWriter(house.vault, house.key("log"), [Silent()])
    try:
        done = writer.append([entry()])
    finally:
        writer.close()
    assert len(Note.parse(done.note).signatures) == 1
    assert house.reader.size == done.checkpoint.size
