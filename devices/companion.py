"""Files that belong together: a film and its GPS track, a RAW picture and its JPEG.

Told, never decided: each file is sealed as a recording of its own whatever this says, so that a wrong pair costs a
line on a page and no evidence. A companion lies in the folder of its main file and has the same stem, letter case
aside; the channel letter of a film's stem may be missing in the companion's, as one track serves both lenses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from devices.footage import read_name
from devices.profile import Profile


def companions(profile: Profile, shown_paths: Iterable[str]) -> dict[str, str]:
    """For each companion that has one, its main file (the first by name where a track serves several)."""
    given = sorted(path for path in shown_paths if not path.endswith("/"))
    beside = [path for path in given if _extension(path) in profile.companions.extensions]
    if not beside:
        return {}
    main: dict[str, str] = {}
    for path in given:
        if _extension(path) not in profile.companions.extensions and read_name(profile, path).is_footage:
            for key in _keys(profile, path):
                main.setdefault(key, path)
    return {path: main[_stem(path)] for path in beside if _stem(path) in main}


def _keys(profile: Profile, path: str) -> Iterator[str]:
    """The stems under which a companion of this file may go."""
    yield _stem(path)
    for footage in profile.footage:
        found = re.fullmatch(footage.files, path)
        if found is None:
            continue
        if found.groupdict().get("channel"):
            start, end = found.span("channel")
            yield _stem(path[:start] + path[end:])
        return


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return (folder + slash + name.rpartition(".")[0]).casefold()


def _extension(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[2].lower()
