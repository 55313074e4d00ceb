"""Recorder profiles: what a recorder family looks like, as data.

One TOML file is one profile; there is no code in it. The schema is strict: an unknown key, a pattern that
does not compile and a value that is not allowed are mistakes, and all mistakes of all files are reported
together. A site may add files or replace a shipped one by giving its `id` (docs/operations/profiles.md).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from devices.error import ProfileError, UnknownProfileError
from devices.mtp_table import MtpTable
from devices.profile_table import (
    Companions,
    Extensions,
    Footage,
    Ignore,
    Match,
    NameFields,
    Priority,
    Sequence,
    Title,
)
from devices.recorder import Medium
from devices.serial.table import SerialTable
from devices.table import ProfileId, Table

SHIPPED = Path(__file__).resolve().parent.parent / "firmware_profiles"
SMALL = (
    4096  # bytes: what a computer writes beside a file (AppleDouble, RFC 1740) with no resource fork in it
)
MAX_FILE = 256 * 1024  # bytes of a profile file; the longest shipped one has about 3 KiB


class Profile(Table):
    """One recorder family.

    `status`: `tested` needs a capture of a physical device that replays in the tests; `reported` that
    somebody has used it; emulation earns `experimental` at most.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    id: ProfileId
    status: Literal["tested", "reported", "experimental"]
    basis: Annotated[str, Field(min_length=1)]
    title: Title
    match: Match
    footage: Annotated[tuple[Footage, ...], Field(min_length=1)]
    names: NameFields = NameFields()
    extensions: Extensions = Extensions()
    ignore: Ignore = Ignore()
    priority: Priority = Priority()
    sequence: Sequence = Sequence()
    companions: Companions = Companions()
    mtp: MtpTable | None = None
    serial: SerialTable | None = None

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


def read_profile(path: Path) -> Profile:
    """The profile in one file. Raises ProfileError with every mistake in it."""
    mistakes: list[str] = []
    profile = _read(path, mistakes)
    if profile is None:
        raise ProfileError(mistakes="\n".join(mistakes))
    return profile


def _read(path: Path, mistakes: list[str]) -> Profile | None:
    try:
        if path.stat().st_size > MAX_FILE:
            mistakes.append(
                f"  {path}: file: is larger than {MAX_FILE} bytes; allowed: one profile in a file"
            )
            return None
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as cause:
        mistakes += [
            f"  {path}: {_key(e['loc'])}: {_say(e['type'], e['msg'], e['loc'])}" for e in cause.errors()
        ]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as cause:
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
        field = model.model_fields.get(str(step))
        model = next(_tables(field.annotation), model) if field else model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The table that a field holds, also in a tuple, optional or annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)


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
