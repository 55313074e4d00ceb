"""The trial of a recovery key: a vault is made only for a key that has shown that it opens something.

A challenge is an age file for one recovery recipient, with words in it that nobody knows. Whoever gives the words back
had the identity in hand, wherever it is kept: on paper, typed in here; on another machine, by `age -d` there. A
`ProvenRecovery` exists only after that, and founding takes nothing else.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from secrets import token_bytes

from core.digest import sha256_hex
from core.errors import Exit
from vault.error import VaultError
from vault.formats.age import Identity, Recipient, decrypt_file, encrypt_file

_WORD_BYTES = 10  # 80 bits: nobody guesses them, and somebody can read them out over the telephone
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters, none to be mistaken for another
_GROUP = 4


class RecoveryTrialError(VaultError):
    """The recovery key did not open the test object."""

    code = "vault.recovery_trial"
    sentence = (
        "The recovery key {recipient} did not open the test object: the answer is not what stands in it. No vault was "
        "made. A vault whose recovery key does not work is lost with its root; check the key and try again."
    )
    exit_code = Exit.NO


@dataclass(frozen=True)
class ProvenRecovery:
    """A recovery recipient whose identity has opened a challenge; only `Challenge` makes one."""

    recipient: Recipient


@dataclass(frozen=True)
class Challenge:
    """The test object for one recovery key, and what tells a right answer."""

    recipient: Recipient
    sealed: bytes  # an age file: `age -d -i KEY` opens it
    answer_sha256: str

    @classmethod
    def pose(cls, recipient: Recipient) -> Challenge:
        """A fresh one; the words in it are forgotten at once."""
        number = int.from_bytes(token_bytes(_WORD_BYTES))
        letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_WORD_BYTES * 8 // 5))
        words = "-".join(letters[i : i + _GROUP] for i in range(0, len(letters), _GROUP))
        return cls(recipient, encrypt_file([recipient], f"{words}\n".encode()), sha256_hex(words.encode()))

    def answered(self, words: str) -> ProvenRecovery:
        """Raises RecoveryTrialError unless these are the words in the test object."""
        said = sha256_hex(" ".join(words.split()).lower().encode())
        if not hmac.compare_digest(said, self.answer_sha256):
            raise RecoveryTrialError(recipient=self.recipient.text)
        return ProvenRecovery(self.recipient)

    def opened_with(self, identity: Identity) -> ProvenRecovery:
        """Open the test object with the identity itself. Raises RecoveryTrialError."""
        try:
            return self.answered(decrypt_file(identity, self.sealed).decode("ascii", "replace"))
        except RecoveryTrialError:
            raise
        except VaultError as cause:
            raise RecoveryTrialError(recipient=self.recipient.text) from cause


def prove(identity: Identity) -> ProvenRecovery:
    """The trial for a program that has the identity in hand."""
    return Challenge.pose(identity.recipient).opened_with(identity)
