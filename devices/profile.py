"""Recorder profiles: what a recorder family looks like, as data.

One TOML file is one profile; there is no code in it. The schema is strict: an unknown key, a pattern that
does not compile and a value that is not allowed are mistakes, and all mistakes of all files are reported
together. A site may add files or replace a shipped one by giving its `id` (docs/operations/profiles.md).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from devices.error import ProfileError, UnknownProfileError
from devices.recorder import Medium

SHIPPED = Path(__file__).resolve().parent.parent / "firmware_profiles"
SMALL = (
    4096  # bytes: what a computer writes beside a file (AppleDouble, RFC 1740) with no resource fork in it
)
FIELDS = frozenset({"serial", "officer", "start", "part"})


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as cause:
        raise ValueError(f"is not a regular expression: {cause}") from cause
    return text


Pattern = Annotated[str, AfterValidator(_compiles)]
Extension = Annotated[str, Field(pattern=r"^[a-z0-9]{1,10}$")]
UsbId = Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Title(_Table):
    """The family's name for people."""

    en: Annotated[str, Field(min_length=1, max_length=80)]
    zh_CN: Annotated[str, Field(min_length=1, max_length=80)]  # noqa: N815  # a language tag


class UsbMatch(_Table):
    """A USB vendor id and, where it tells more, a product id: four lower-case hexadecimal digits."""

    vendor: UsbId
    product: UsbId | None = None


class Match(_Table):
    """When a device is of this family; every rule that is given must hold.

    `requires`: each pattern fits the whole of at least one path; `excludes`: no pattern fits any path.
    Paths are relative, with `/`; a directory ends in `/`.
    """

    usb: tuple[UsbMatch, ...] = ()
    labels: tuple[Pattern, ...] = ()
    requires: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    excludes: tuple[Pattern, ...] = ()


class Footage(_Table):
    """Files that are footage: a pattern for the whole path, whose named groups are facts in the name."""

    files: Pattern
    media: Medium | None = None

    @field_validator("files")
    @classmethod
    def _known_groups(cls, value: str) -> str:
        unknown = set(re.compile(value).groupindex) - FIELDS
        if unknown:
            raise ValueError(f"names the groups {sorted(unknown)}; allowed: {sorted(FIELDS)}")
        return value


class NameFields(_Table):
    """How the facts in a name are written."""

    start: str = "%Y%m%d%H%M%S"
    zone: str = "station"
    unset_officers: tuple[str, ...] = ()
    unset_serials: tuple[str, ...] = ()

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value != "station":
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError) as cause:
                raise ValueError("allowed: 'station' or an IANA zone such as 'Asia/Shanghai'") from cause
        return value


class Extensions(_Table):
    """Which extensions (lower case, no dot) are which kind; anything else is `other`."""

    video: tuple[Extension, ...] = ()
    audio: tuple[Extension, ...] = ()
    image: tuple[Extension, ...] = ()


class Ignore(_Table):
    """What is left out and only counted: the rubbish that computers leave on cards. Patterns fit the whole path.

    `small_files` are left out up to 4096 bytes, as AppleDouble files are; a larger one of such a name is taken.
    Folders into which people or repairs move footage (recycle bins, LOST.DIR) are never named here.
    """

    files: tuple[Pattern, ...] = ()
    small_files: tuple[Pattern, ...] = ()
    directories: tuple[Pattern, ...] = ()


class Profile(_Table):
    """One recorder family.

    `status`: `tested` needs a capture of a physical device that replays in the tests; `reported` that
    somebody has used it; emulation earns `experimental` at most.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")]
    status: Literal["tested", "reported", "experimental"]
    basis: Annotated[str, Field(min_length=1)]
    title: Title
    match: Match
    footage: Annotated[tuple[Footage, ...], Field(min_length=1)]
    names: NameFields = NameFields()
    extensions: Extensions = Extensions()
    ignore: Ignore = Ignore()

    def medium_of(self, extension: str) -> Medium:
        """The kind of a file by its extension."""
        for medium in (Medium.VIDEO, Medium.AUDIO, Medium.IMAGE):
            if extension.lower() in getattr(self.extensions, medium.value):
                return medium
        return Medium.OTHER


def schema_text() -> str:
    """The JSON Schema of a profile file; firmware_profiles/schema.json is exactly this."""
    schema = Profile.model_json_schema(by_alias=True)
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def load_profiles(shipped: Path = SHIPPED, site: Path | None = None) -> tuple[Profile, ...]:
    """All profiles, the site's in place of shipped ones with the same id. Raises ProfileError."""
    mistakes: list[str] = []
    own = _read_directory(shipped, mistakes)
    theirs = _read_directory(site, mistakes) if site else {}
    if mistakes:
        raise ProfileError(mistakes="\n".join(mistakes))
    return tuple(profile for _, profile in sorted({**own, **theirs}.items()))


def find_profile(profiles: Iterable[Profile], profile_id: str) -> Profile:
    """The profile with this id. Raises UnknownProfileError."""
    known = {profile.id: profile for profile in profiles}
    if profile_id not in known:
        raise UnknownProfileError(profile=profile_id, known=", ".join(sorted(known)) or "none")
    return known[profile_id]


def _read_directory(directory: Path, mistakes: list[str]) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    if not directory.is_dir():
        mistakes.append(f"  {directory}: there is no such directory")
        return found
    for path in sorted(directory.glob("*.toml")):
        profile = _read(path, mistakes)
        if profile is not None and profile.id in found:
            mistakes.append(f"  {path}: id: another file here has the id '{profile.id}' too")
        elif profile is not None:
            found[profile.id] = profile
    return found


def _read(path: Path, mistakes: list[str]) -> Profile | None:
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as cause:
        mistakes += [
            f"  {path}: {_key(e['loc'])}: {_say(e['type'], e['msg'], e['loc'])}" for e in cause.errors()
        ]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        mistakes.append(f"  {path}: file: {cause}")
    return None


def _key(loc: tuple[int | str, ...]) -> str:
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "file"


def _say(kind: str, message: str, loc: tuple[int | str, ...]) -> str:
    if kind == "extra_forbidden":
        return f"there is no such key; allowed here: {', '.join(_allowed(loc))}"
    return message.removeprefix("Value error, ")


def _allowed(loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the table that an unknown key was found in."""
    model: type[BaseModel] = Profile
    for step in loc[:-1]:
        if isinstance(step, str):
            model = _TABLES[model, step]
    return sorted(field.alias or name for name, field in model.model_fields.items())


_TABLES: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (Profile, "title"): Title,
    (Profile, "match"): Match,
    (Match, "usb"): UsbMatch,
    (Profile, "footage"): Footage,
    (Profile, "names"): NameFields,
    (Profile, "extensions"): Extensions,
    (Profile, "ignore"): Ignore,
}


_KINDS = {
    "video": "mp4 mov avi mkv ts mts m2ts 3gp mpg mpeg webm m4v wmv flv",
    "audio": "wav mp3 aac m4a amr ogg opus flac wma",
    "image": "jpg jpeg png heic heif dng bmp gif tif tiff webp",
}
FOLDER = Profile.model_validate(
    {
        "schema": 1,
        "id": "folder",
        "status": "reported",
        "basis": "Any folder given by hand: everything in it is taken, nothing is read from names.",
        "title": {"en": "Folder", "zh_CN": "文件夹"},
        "match": {"requires": [".*"]},
        "footage": [{"files": ".*"}],
        "extensions": {kind: names.split() for kind, names in _KINDS.items()},
    }
)  # never matched against a device: only a person may say that a folder is to be taken whole
