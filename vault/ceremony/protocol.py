"""The protocol of a ceremony: the steps to take, who was there, and a page that those people sign by hand.

The log gets the kind in public and the people in the private part; the page carries the checkpoint after it, so that
paper and log vouch for each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from vault.ceremony.rule import CEREMONY
from vault.ceremony.session import Ceremony, CeremonyError, Said
from vault.formats.entry import Leaf
from vault.log.ledger import LogReader
from vault.store.objects import Vault

_PAPER = (
    240  # characters: the log's own signature fits, an ML-DSA one (3,300) fills a page and proves no more
)
LEAST_PEOPLE = 2  # one person can do anything alone and say anything of it
STEPS = {
    "founding": (
        "Check the machine: installed from the release, its disk empty, the network unplugged.",
        "Make each recovery key on a machine that stays off line: `age-keygen -o recovery.key`. Print it twice.",
        "Run `sealdock vault init` with each recovery recipient; open each test object where its key is.",
        "Read id, key and fingerprint aloud from the screen; each person writes the fingerprint down.",
        "Put the printed recovery keys into two sealed envelopes in two safes, signed across the flap.",
        "Set the clock and say which source it has.",
    ),
    "rotation": (
        "Stop all services: `systemctl stop sealdock.target`. Make a copy of the vault's keys/ and of the keys.",
        "Say which key is rotated and why. Run `sealdock key rotate ...` and read its answer aloud.",
        "Run `sealdock vault verify` and start the services again; watch one recording.",
        "Destroy the old key and every copy of it, and say how.",
    ),
    "compromise": (
        "Stop all services. Copy the whole machine's disks before anything is changed: they are evidence.",
        "Say since when the key may have been in other hands, and how that is known.",
        "Run `sealdock key compromise NAME --since TIME` and take the steps that it prints.",
        "Compare the newest receipts and checkpoints kept outside: `sealdock vault verify --against`.",
        "Tell whom the law and the bureau's rules say has to be told.",
    ),
    "recovery": (
        "Take one recovery envelope from its safe; check the seal and the signatures across the flap.",
        "Say why the root cannot be used. Run `sealdock key rotate root --with-recovery FILE`.",
        "Put the recovery key into a fresh envelope, or make a new one: `sealdock key rotate recovery`.",
        "Run `sealdock vault verify` and watch one recording.",
    ),
}


@dataclass(frozen=True)
class Present:
    """A person who was there, and as what."""

    name: str
    role: str

    @classmethod
    def parse(cls, text: str) -> Present:
        """Read `NAME:ROLE`. Raises CeremonyError."""
        name, _, role = text.partition(":")
        if not name.strip() or not role.strip():
            raise CeremonyError(why=f"{text!r} does not say name and role")
        return cls(name.strip(), role.strip())


@dataclass(frozen=True)
class Protocol:
    """What is put down of one ceremony."""

    kind: str
    people: tuple[Present, ...]
    place: str
    note: str = ""

    def page(self, vault: Vault, leaf: Leaf) -> str:
        """The page to print: what happened, the log as it stands after it, and a line for each signature."""
        checkpoint, note = LogReader(vault).checkpoint()
        lines = [
            f"PROTOCOL OF A KEY CEREMONY ({self.kind})", "",
            f"vault        {vault.id}", f"key          {vault.verifier.vkey}",
            f"fingerprint  {vault.verifier.fingerprint}", f"entry        {leaf.id} of {leaf.time}",
            f"place        {self.place}", *([f"note         {self.note}"] if self.note else []), "",
            f"The log after it, {checkpoint.size} entries:", "",
            *(line for line in note.decode().splitlines() if len(line) <= _PAPER), "",
            *(f"{person.role}: {person.name}\n\n  ______________________________" for person in self.people),
        ]  # fmt: skip
        return "\n".join(lines)


def enter_protocol(ceremony: Ceremony, protocol: Protocol) -> Leaf:
    """Put it on the log; gives the entry. Raises CeremonyError for fewer than two people."""
    if len(protocol.people) < LEAST_PEOPLE:
        raise CeremonyError(why=f"{LEAST_PEOPLE} people have to be there")
    body = {
        "people": [{"name": person.name, "role": person.role} for person in protocol.people],
        "place": protocol.place, "note": protocol.note,
    }  # fmt: skip
    return ceremony.enter([Said(CEREMONY, {"kind": protocol.kind}, body)])[0]
