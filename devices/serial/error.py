"""What goes wrong on a recorder's serial line. None of it touches footage: the storage is not even there yet."""

from __future__ import annotations

from devices.error import DeviceError


class SerialError(DeviceError):
    """The root of the errors of recorders that unlock over a serial line."""

    code = "devices.serial"
    sentence = "The recorder could not be unlocked. Its footage is untouched; put it back and try again."


class PortError(SerialError):
    """The port is no serial port, is in use, or may not be opened."""

    code = "devices.serial.port"
    sentence = (
        "The serial port {device} cannot be opened: {why}. The recorder stays locked and its footage is untouched; "
        "take it out and put it back, and call the administrator if it happens again."
    )


class SilentError(SerialError):
    """Not one byte came back."""

    code = "devices.serial.silent"
    sentence = (
        "The recorder at {device} did not answer '{step}' (asked {tries} times). It stays as it was and its footage "
        "is untouched; switch it on, put it back, and tell a custodian if it stays silent."
    )


class UnreadableReplyError(SerialError):
    """Bytes came back, but no reply that the profile knows: noise, a wrong profile, or a hostile device."""

    code = "devices.serial.unreadable"
    sentence = (
        "The recorder at {device} answered '{step}' with nothing that its profile knows ({why}). Nothing of it was "
        "believed and its footage is untouched; clean the contacts, put it back, and tell a custodian if it goes on."
    )


class RefusedError(SerialError):
    """The recorder understood and said no."""

    code = "devices.serial.refused"
    sentence = (
        "The recorder at {device} refused '{step}'. Its footage is untouched; put it back, and tell a custodian if "
        "it refuses again."
    )


class UnsendableError(SerialError):
    """A value cannot be written in this exchange: it holds a sign that the exchange itself uses, or is too long."""

    code = "devices.serial.unsendable"
    sentence = (
        "The value of '{field}' cannot be sent to the recorder: {why}. Nothing was sent; change the value or the "
        "recorder's profile."
    )


class WrongPasswordError(SerialError):
    """The recorder refused the station's password. It will not be sent again by itself."""

    code = "devices.serial.wrong_password"
    sentence = (
        "The recorder {serial} refused the station's password. Its footage is untouched and the same password is not "
        "sent again; a custodian puts the right one into the station's password store."
    )


class PasswordHeldBackError(SerialError):
    """A password is not sent, so that the recorder does not lock; each reason is a class of its own."""

    code = "devices.serial.held_back"
    sentence = (
        "No password was sent to the recorder {serial}, so that it does not lock. Its footage is untouched; a "
        "custodian checks the password in the station's password store."
    )


class PasswordRefusedBeforeError(PasswordHeldBackError):
    """This password was refused by this recorder."""

    code = "devices.serial.refused_before"
    sentence = (
        "No password was sent to the recorder {serial}: it refused the one in the station's password store before. "
        "Its footage is untouched; a custodian puts the right password into the store."
    )


class PasswordWaitsError(PasswordHeldBackError):
    """After a wrong one the next password waits."""

    code = "devices.serial.waits"
    sentence = (
        "No password was sent to the recorder {serial}: after a wrong one the next waits until {until}. Its footage "
        "is untouched; put it back after that."
    )


class TriesSpentError(PasswordHeldBackError):
    """One more wrong password would lock the recorder."""

    code = "devices.serial.tries_spent"
    sentence = (
        "No password was sent to the recorder {serial}: {tries} tries are spent and {lock_after} wrong ones lock it. "
        "Its footage is untouched; a custodian unlocks it with its maker's tool and then clears the note of tries."
    )


class NoteUnreadableError(PasswordHeldBackError):
    """Nobody knows how often a password was tried."""

    code = "devices.serial.note"
    sentence = (
        "No password was sent to the recorder {serial}: the note of earlier tries cannot be read ({path}). Its "
        "footage is untouched; the administrator looks at the file and removes it."
    )


class RecorderLockedError(SerialError):
    """The recorder says that too many wrong passwords were given."""

    code = "devices.serial.locked"
    sentence = (
        "The recorder {serial} says that it is locked after wrong passwords. Its footage is untouched and no password "
        "is sent to it any more; a custodian has it unlocked with its maker's tool and then clears the note."
    )


class NoPasswordError(SerialError):
    """The password store has no password for this recorder."""

    code = "devices.serial.no_password"
    sentence = (
        "The station has no password for the recorder {serial} of the profile '{profile}'. Nothing was sent and its "
        "footage is untouched; a custodian puts the password into {path}."
    )


class UnsafePasswordError(SerialError):
    """A password's file, or the store, can be read or changed by others, or holds no password."""

    code = "devices.serial.unsafe_password"
    sentence = (
        "The password file {path} is not used: {why}. Nothing was sent to the recorder and its footage is untouched; "
        "the administrator puts that right."
    )


class OtherRecorderError(SerialError):
    """After the receipt another recorder answers in the same bay."""

    code = "devices.serial.other"
    sentence = (
        "The recorder that answers is {found}, not {expected}. Nothing was changed on it; put the first one back "
        "into its bay."
    )


class ClockNotSetError(SerialError):
    """The clock was left as it is, or nobody can say what it shows now."""

    code = "devices.serial.clock"
    sentence = (
        "The clock of the recorder {serial} is not proven to be right: {why}. The footage and its receipt stand; "
        "check the clock before the recorder is used again."
    )


class OwnerNotWrittenError(SerialError):
    """What the recorder shows as its owner is not what was written."""

    code = "devices.serial.owner"
    sentence = (
        "The recorder {serial} does not show the owner that was written to it. The footage and its receipt stand; "
        "write the owner again before the recorder is handed out."
    )
