"""Reading the omission statement of a session as anybody with the root key does: off the log, out of its bodies."""

from __future__ import annotations

from emulation.dock import PASSPHRASE, Station, wait_until

from core.canonical import Json
from ingest.statement import joined
from vault.formats.entry import Leaf
from vault.log.ledger import LogReader
from vault.store.keys import Keyring, open_body


def leaves(station: Station) -> list[Leaf]:
    """The whole log."""
    reader = LogReader(station.vault)
    return list(reader.leaves(0, reader.checkpoint()[0].size))


def statement(station: Station, number: int = 1) -> Json:
    """The statement of the `number`th session that ended, once it is on the log."""
    wait_until(lambda: sum(leaf.type == "session" for leaf in leaves(station)) >= number)
    log = leaves(station)
    places = {leaf.id: (index, leaf) for index, leaf in enumerate(log)}
    ring = Keyring.unlock(station.vault, station.root / "keys", PASSPHRASE)

    def fields(entry_id: str) -> Json:
        body = open_body(station.vault, *places[entry_id], ring)
        assert body is not None
        return body

    session = [leaf for leaf in log if leaf.type == "session"][number - 1]
    head: Json = fields(session.id)["statement"]
    return joined(head, [fields(page["id"]) for page in head.get("pages", [])])
