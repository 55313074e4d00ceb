"""What goes wrong with a recorder that speaks MTP. Nothing on it is ever changed, whatever happens."""

from __future__ import annotations

from devices.error import DeviceError


class MtpError(DeviceError):
    """The root of the errors of recorders that speak MTP."""

    code = "devices.mtp"
    sentence = (
        "The recorder could not be read over MTP. Nothing on it was changed; take it out and put it back."
    )


class MtpSilentError(MtpError):
    """No session could be opened: locked, asleep, in another program's hands, or broken."""

    code = "devices.mtp.silent"
    sentence = (
        "{device} did not open an MTP session ({why}). Nothing on it was changed and its footage is untouched; switch "
        "it on, unlock its screen, allow file transfer, and put it back."
    )


class MtpToolMissingError(MtpError):
    """libmtp is not on this station."""

    code = "devices.mtp.library"
    sentence = (
        "{device} speaks MTP, and this station has no libmtp ({why}). It was not opened and its footage is untouched; "
        "the administrator installs the package libmtp9."
    )


class OtherDeviceError(MtpError):
    """After a dropped session another device answers in the same place."""

    code = "devices.mtp.other"
    sentence = (
        "After the connection was lost, {found} answered in place of {expected}. Nothing of it was read; take it out, "
        "and put the first recorder back to go on."
    )
