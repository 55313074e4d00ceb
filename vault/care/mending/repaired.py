"""What a repair gives: a file put right, as the log tells it, or the reason why it was left alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from vault.error import VaultError
from vault.log.submission import Draft


class NotRepairableError(VaultError):
    """A name that no repair is known for, or a file that must not be touched now."""

    code = "vault.not_repairable"
    sentence = "{file} was not repaired ({why}). Nothing was changed."


@dataclass(frozen=True)
class Repaired:
    """One file put right. `aside` is where the damaged one lies; None when it was lost."""

    file: str
    fault: str
    sha256: str
    copy_size: int
    source: str
    aside: str | None
    recording: str | None = None
    entries: tuple[int, ...] = field(default=())

    def draft(self) -> Draft:
        """The entry that tells of it; paths are for the bureau and stand in the private part."""
        facts: dict[str, object] = {
            "file": self.file, "fault": self.fault, "sha256": self.sha256, "copy_size": self.copy_size,
        }  # fmt: skip
        if self.entries:
            facts["entries"] = list(self.entries)
        about = (self.recording,) if self.recording else ()
        return Draft(
            "repair", about=about, facts=facts, body={"source": self.source, "set_aside": self.aside}
        )
