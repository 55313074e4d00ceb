"""Errors of docking and sealing, as the tile and the command line say them."""

from __future__ import annotations

from core.errors import Exit, SealdockError


class IngestError(SealdockError):
    """The root of everything that goes wrong between a recorder and its receipts."""

    code = "ingest.failed"
    sentence = "This could not be sealed. The original is still on the recorder; dock it again."


class UnmappedBayError(IngestError):
    """A recorder outside every mapped bay is never opened."""

    code = "ingest.unmapped_bay"
    sentence = (
        "{device} was plugged into {port}, which is no bay of this dock. It was not opened; use a numbered "
        "bay, or map this port in the settings."
    )


class UnreadableFileError(IngestError):
    """One file cannot be read; the others go on."""

    code = "ingest.unreadable"
    sentence = (
        "{path} cannot be read from the recorder ({why}). Everything else was taken; keep the recorder and "
        "have the card examined."
    )


class RefusedFileError(IngestError):
    """Something on the card is not a file that can be taken."""

    code = "ingest.refused_file"
    sentence = (
        "{path} was not taken: {why}. A recorder does not make such an entry; the rest was taken, tell the "
        "custodian."
    )


class NoRoomError(IngestError):
    """The vault's disk has no room for the next file."""

    code = "ingest.no_room"
    sentence = (
        "There is no room in the vault for {path} ({size} bytes needed, {free} free beside the reserve). "
        "It is still on the recorder; add storage to the vault, then dock again."
    )


class NotSealedError(IngestError):
    """The log refused a recording, or its object came back changed every time."""

    code = "ingest.not_sealed"
    sentence = (
        "{path} was copied but not sealed ({why}). It is still on the recorder; do not clear it, tell the "
        "administrator and dock it again."
    )


class ReceiptError(IngestError):
    """A receipt that does not prove what was deposited."""

    code = "ingest.receipt"
    sentence = (
        "The receipt of {path} does not prove what was copied ({why}). Do not rely on it and do not clear "
        "the recorder; run `sealdock vault verify`."
    )


class SealingStalledError(IngestError):
    """Copied, but the log has not answered."""

    code = "ingest.stalled"
    sentence = (
        "{count} copied files wait for the log, which has not answered for {seconds} s. Nothing is lost; see"
        " that the sealdock-vaultd service runs. Leave the recorder in its bay."
    )


class SomeFilesNotTakenError(IngestError):
    """A session that ended with failures."""

    code = "ingest.partial"
    sentence = (
        "{failed} of {total} entries on the recorder were not taken. The rest is sealed; ask a custodian "
        "before the recorder is used again."
    )


class NothingTakenError(IngestError):
    """Not one entry of the recorder was taken."""

    code = "ingest.nothing_taken"
    sentence = (
        "None of the {total} entries on the recorder was taken; all are still on it. Ask a custodian before the "
        "recorder is used again."
    )


class VaultFullError(IngestError):
    """The session ended short because the vault's disk is full."""

    code = "ingest.vault_full"
    sentence = (
        "The vault's disk is full: {failed} of {total} entries on the recorder were not taken and are still on it. "
        "Leave the recorder as it is; have storage added to the vault, then dock it again."
    )


class NoLongerThereError(IngestError):
    """A file that this session found and never sealed, and that its recorder does not hold any more."""

    code = "ingest.no_longer_there"
    sentence = (
        "{path} was found when this recorder was docked before, was not sealed, and is not on it any more. Keep "
        "the recorder and ask a custodian."
    )


class UnpluggedError(IngestError):
    """The recorder left, or the dock was stopped, before everything was sealed."""

    code = "ingest.interrupted"
    sentence = (
        "The recorder left before everything was sealed: {left} files are still only on it. Put it back into"
        " the dock to go on."
    )


class NotAFolderError(IngestError):
    """Something else than a folder was named by hand."""

    code = "ingest.not_a_folder"
    sentence = "{path} is not a folder that can be read. Nothing was taken; name a mounted card or a folder."
    exit_code = Exit.WRONG_USE


class DockFaultError(IngestError):
    """A mistake of this program; the recorder is left alone. Its text is for the log only: it may name files."""

    code = "ingest.fault"
    sentence = (
        "The dock met an error it does not know. Nothing on the recorder was changed; take it out and dock it "
        "again, and if it comes back tell the administrator its number in the log: {reference}."
    )


class SwitchError(IngestError):
    """A recorder that was unlocked did not come back as a disk."""

    code = "ingest.switch"
    sentence = (
        "{device} was unlocked, but no disk of it appeared in this bay within {seconds} s. Nothing was copied and "
        "everything is still on it; take it out, switch it off and on, and dock it again."
    )


class NoTransportError(IngestError):
    """The bay has no way to open what is in it."""

    code = "ingest.no_transport"
    sentence = (
        "{device} speaks a way that this dock is not set up for ({way}). It was not opened and its footage is still "
        "on it; ask the administrator."
    )


class NotARecorderError(IngestError):
    """Something without any interface that footage could come through."""

    code = "ingest.not_a_recorder"
    sentence = (
        "{device} is no recorder: it says it is {interfaces}. None of it was let in; take it out and tell the "
        "custodian."
    )


class TwoInOneBayError(IngestError):
    """udev calls two sockets by one path, and something is plugged into both."""

    code = "ingest.two_in_one_bay"
    sentence = (
        "{device} is at {port} like the recorder in bay {bay}, but in another socket. It was not opened; take it out, "
        "and have the bays mapped anew with `sealdock bay map`."
    )
