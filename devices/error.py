"""Errors of recorders, cards and profiles."""

from __future__ import annotations

from core.errors import Exit, SealdockError


class DeviceError(SealdockError):
    """The root of everything that goes wrong between a bay and a file."""

    code = "devices.failed"
    sentence = "The recorder could not be read. Nothing on it was changed; put it back and try again."


class ProfileError(DeviceError):
    """One or more profile files cannot be used; every mistake in every file is listed."""

    code = "devices.profile"
    sentence = (
        "These recorder profiles cannot be used:\n{mistakes}\n"
        "No recorder was opened; mend them and run `sealdock profile check`."
    )
    exit_code = Exit.WRONG_USE


class AmbiguousProfileError(DeviceError):
    """Two profiles claim one device, so neither may be used."""

    code = "devices.ambiguous"
    sentence = (
        "{device} fits more than one profile ({profiles}). Nothing was opened; "
        "make their match rules exclude each other."
    )


class MixedMarksError(AmbiguousProfileError):
    """A device carries the marks of several profiles, and no file says which of them is to read it."""

    code = "devices.mixed_marks"
    sentence = (
        "{device} carries the marks of more than one profile ({profiles}). Nothing was opened, so that nothing is read "
        "under the wrong one; `sealdock profile match` shows the marks, and instead_of says which profile comes first."
    )


class UnknownProfileError(DeviceError):
    """A profile was asked for by a name that none has."""

    code = "devices.no_such_profile"
    sentence = "There is no profile '{profile}'. Known are: {known}. Nothing was opened."
    exit_code = Exit.WRONG_USE


class UnknownRecorderError(DeviceError):
    """No profile recognises what is in the bay."""

    code = "devices.unknown"
    sentence = (
        "No profile recognises {device}. No file on it was opened; ask a custodian, "
        "who can have a profile added."
    )


class NotMountableError(DeviceError):
    """Neither the kernel nor a FUSE driver can show this file system read-only."""

    code = "devices.not_mountable"
    sentence = (
        "{device} holds a file system ({fs_type}) that this machine cannot mount read-only: {why}. Nothing "
        "was read or changed; install the driver it names, or dock the recorder at another station."
    )


class DamagedFileSystemError(NotMountableError):
    """The driver is here and cannot make sense of the tables: the card is sick, not the station."""

    code = "devices.damaged_file_system"
    sentence = (
        "The file table of {device} ({fs_type}) cannot be read: {why}. Nothing was changed, and its footage may "
        "still be there; do not format it, keep it as it is and ask a custodian to have the card examined."
    )


class NotARecorderFileSystemError(DeviceError):
    """A file system that no recorder uses is not given to the kernel."""

    code = "devices.file_system_refused"
    sentence = (
        "{device} holds the file system '{fs_type}', which no recorder uses (allowed: {allowed}). It was not "
        "mounted; ask the administrator."
    )


class UnknownFileSystemError(DeviceError):
    """A part of the recorder's disk that nothing here can read: there may be footage in it."""

    code = "devices.no_file_system"
    sentence = (
        "A part of {device} holds no file system that is known here. It was not opened, and there may be footage "
        "in it; ask a custodian before the recorder is used again."
    )


class DepartedError(DeviceError, OSError):
    """The recorder is gone: what the kernel says with ENODEV or EIO, and what emulation says the same way."""

    code = "devices.departed"
    sentence = (
        "{device} was pulled out while it was being read. What was sealed is safe; put it back to go on."
    )

    def __init__(self, **parameters: object) -> None:
        super().__init__(**parameters)
        self.errno = 19  # ENODEV


class EmulationError(DeviceError):
    """A control file of the emulation cannot be used."""

    code = "devices.emulation"
    sentence = "The emulated recorder {path} cannot be plugged in: {why}. Nothing was opened; mend the file."
    exit_code = Exit.WRONG_USE


class DetectionError(DeviceError):
    """The kernel's device events cannot be heard on this machine."""

    code = "devices.detection"
    sentence = (
        "Real recorders cannot be detected here: {why}. Nothing is lost; run the dock on the station itself."
    )
