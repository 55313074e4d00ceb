"""Which way of keeping the root is meant: from the settings' word to a Root (vault.store.root)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.settings import KeydSettings, RootKind
from vault.store.root import CredentialRoot, PassphraseRoot, Root
from vault.store.token_root import TokenRoot
from vault.store.tpm_root import TpmRoot

CREDENTIALS = "CREDENTIALS_DIRECTORY"  # set by systemd for a unit with LoadCredential= (systemd.exec)


@dataclass(frozen=True)
class RootPlace:
    """Where a root is, or is to be kept: its kind, and what finding it takes."""

    kind: RootKind
    module: Path | None = None
    token: str | None = None
    credentials: Path | None = None

    @classmethod
    def from_settings(cls, settings: KeydSettings) -> RootPlace:
        """As the settings say, with the credentials that systemd handed to this process."""
        return cls(settings.root, settings.pkcs11_module, settings.pkcs11_token, credentials_directory())

    def root(self, directory: Path) -> Root:
        """The root whose file lies in `directory`."""
        if self.kind is RootKind.PKCS11:
            return TokenRoot(directory, self.module, self.token)
        if self.kind is RootKind.TPM2:
            return TpmRoot(directory)
        if self.kind is RootKind.CREDENTIAL:
            return CredentialRoot(directory, self.credentials)
        return PassphraseRoot(directory)


def credentials_directory() -> Path | None:
    """Where systemd put this process's credentials, if it did."""
    place = os.environ.get(CREDENTIALS)
    return Path(place) if place else None
