"""The errors of everything that reads media.

Media tools meet hostile bytes, so their failure is a normal outcome: it never touches the original, and the
recording stays listed and downloadable. `MediaToolMissingError` and `SandboxRefusedError` are about the
machine and worth another try later; the others are about the file and are kept with it.
"""

from __future__ import annotations

from core.errors import SealdockError


class MediaError(SealdockError):
    """Something about a media file or the tools that read it."""

    code = "media.failed"
    sentence = "The media tool could not finish. The original is sealed and untouched; it can be downloaded."


class MediaToolMissingError(MediaError):
    """A program is not installed on this station."""

    code = "media.tool_missing"
    sentence = (
        "{program} is not installed, so footage cannot be indexed or shown. "
        "Nothing was lost: install the Debian package '{package}' and the work goes on by itself."
    )


class SandboxRefusedError(MediaError):
    """The kernel or the container does not let bubblewrap build its walls."""

    code = "media.sandbox_refused"
    sentence = (
        "This machine does not allow the sandbox that media tools run in ({why}). Footage is sealed but not "
        "indexed: allow unprivileged user namespaces or run the worker as the systemd unit does."
    )


class MediaCrashedError(MediaError):
    """The tool ended with a failure: broken media, out of memory, or a bug that hostile bytes found."""

    code = "media.crashed"
    sentence = (
        "{program} failed on this recording (exit {status}: {tail}). "
        "The original is sealed and untouched; it can be downloaded but not played here."
    )


class MediaTimeoutError(MediaError):
    """The tool used up its time and was ended."""

    code = "media.timeout"
    sentence = (
        "{program} was ended after {seconds} s on this recording. "
        "The original is sealed and untouched; it can be downloaded but not played here."
    )


class MediaTooLargeError(MediaError):
    """The tool wrote more than it was allowed to and was ended."""

    code = "media.too_large"
    sentence = (
        "{program} wrote more than {limit_bytes} bytes for this recording and was ended. "
        "The original is sealed and untouched; it can be downloaded but not played here."
    )


class MalformedIndexError(MediaError):
    """The sandboxed tool said something that it should never say; it is not believed."""

    code = "media.malformed_index"
    sentence = (
        "The media tool's answer was malformed ({why}) and was thrown away. "
        "The original is sealed and untouched; it can be downloaded but not played here."
    )


class LensError(MediaError):
    """The read-only view of a recording could not be mounted."""

    code = "media.lens"
    sentence = (
        "The read-only view that media tools read through could not be mounted ({why}). "
        "Nothing was lost: install the Debian package 'fuse3', make /dev/fuse usable, and the work goes on."
    )


class RefusedFileError(MediaError):
    """The file itself is the reason; trying again would change nothing."""

    code = "media.refused"
    sentence = (
        "This recording cannot be shown here. The original is sealed and untouched; it can be downloaded."
    )


class NotMediaError(RefusedFileError):
    """No sound and no pictures in it, whatever its name says."""

    code = "media.not_media"
    sentence = (
        "This file holds no video, sound or picture that can be shown, whatever its name says. "
        "It is sealed as it came and can be downloaded."
    )


class EmptyFileError(RefusedFileError):
    """Zero bytes."""

    code = "media.empty"
    sentence = "This file is empty: the recorder made it and wrote nothing. It is sealed as it came."


class TruncatedFileError(RefusedFileError):
    """An MP4 without its index."""

    code = "media.truncated"
    sentence = (
        "This recording was cut off while the recorder wrote it (power lost or battery out): its index is missing, "
        "so it cannot be played. It is sealed as it came; its content is there and can be salvaged."
    )


class HugePictureError(RefusedFileError):
    """Dimensions that no recorder makes."""

    code = "media.huge_picture"
    sentence = (
        "This file claims a picture larger than any recorder makes and was not opened. "
        "It is sealed as it came and can be downloaded; treat it with care."
    )


class EndlessFileError(RefusedFileError):
    """More packets than any recording has."""

    code = "media.endless"
    sentence = (
        "This file claims more pictures than a recording can hold and was not read to its end. "
        "It is sealed as it came and can be downloaded; treat it with care."
    )


class UnreadableFileError(RefusedFileError):
    """A container that opens and a content that does not."""

    code = "media.unreadable"
    sentence = (
        "This recording is in a format that cannot be read here, or it is damaged. "
        "It is sealed as it came and can be downloaded."
    )


REFUSALS: dict[str, type[RefusedFileError]] = {
    kind.code.removeprefix("media."): kind
    for kind in (
        NotMediaError, EmptyFileError, TruncatedFileError, HugePictureError, EndlessFileError, UnreadableFileError,
    )
}  # fmt: skip
