"""A mounted card or folder whose files carry everything that their names say, and that names what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from devices.condition import Condition
from devices.footage import read_name
from devices.mass_storage import Listing, MassStorage
from devices.profile import Profile
from devices.recorder import RefusedFile, SourceFile
from devices.tree import Kind
from devices.unwritten import Untouched


@dataclass(frozen=True)
class Left:
    """One file that the profile leaves out."""

    path: bytes
    shown_path: str
    size: int


class Described(MassStorage):
    """As `MassStorage`, with the facts that a statement is made of."""

    def __init__(self, listing: Listing, profile: Profile, condition: Condition) -> None:
        super().__init__(listing, profile, condition)
        self.condition = condition

    def files(self) -> Iterator[SourceFile | RefusedFile]:
        """Files with their running number and whether they are flagged."""
        for file in super().files():
            if isinstance(file, SourceFile):
                facts = read_name(self._profile, file.shown_path)
                yield replace(file, flagged=facts.flagged, sequence=facts.sequence)
            else:
                yield file

    def left_out(self) -> Iterator[Left]:
        """What the profile leaves out, folders apart."""
        out: set[bytes] = set()
        for entry in self._listing.entries:
            if self._leaves_out(entry, out) and entry.kind is not Kind.DIRECTORY:
                yield Left(entry.path, entry.shown_path, entry.size)

    def untouched(self) -> Untouched:
        """A counter that stayed at zero."""
        return Untouched("write_counter", sectors_written=0)
