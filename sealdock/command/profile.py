"""`sealdock profile`: the recorders that this station knows, and how it learns a new one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import click

from core.clock import utc_now
from core.errors import Exit, SealdockError
from devices.capture import Capture, capture, read_capture
from devices.detect import Arrival, Detector, Sighting, UdevDetector
from devices.draft import LOOK, draft
from devices.emulation import EmulationDetector
from devices.mass_storage import Listing, Medium, Presence
from devices.match import match as match_layout
from devices.match import recognises
from devices.origin import Origin, origin_of
from devices.profile import Profile, find_profile, load_profiles, read_profile
from devices.recorder import Identity
from devices.replay import captures_in, may_meet, prove, replay
from devices.volume import mount_image, open_volume, presence_of
from sealdock import profile_report
from sealdock.command.option import json_option
from sealdock.match_report import contradictions, explained
from sealdock.wiring import Station

CAPTURES = Path(__file__).resolve().parents[2] / "tests/captures"  # of a checkout; a station has none


class EmptyBayError(SealdockError):
    """A bay was named in which nothing that shows files is plugged in."""

    code = "sealdock.empty_bay"
    sentence = (
        "Nothing in bay {bay} shows files. Nothing was read; plug the device in, wait until its own screen says "
        "that it is connected, and try again."
    )
    exit_code = Exit.NO


class FileThereError(SealdockError):
    """A file that would be written is there already."""

    code = "sealdock.file_there"
    sentence = "{path} is there already and was left as it is. Name another --id, or move the file away."
    exit_code = Exit.WRONG_USE


@click.group()
def profile() -> None:
    """Look at recorder profiles and make new ones; only `new --bay` needs a station."""


directory = click.Path(exists=True, file_okay=False, path_type=Path)
site_option = click.option("--site", type=directory, help="A directory of site profiles.")


@profile.command("list")
@site_option
@json_option
def list_profiles(site: Path | None, as_json: bool) -> None:
    """List every profile with its status."""
    profiles = load_profiles(site=site)
    if as_json:
        click.echo(json.dumps([one.model_dump(mode="json") for one in profiles], ensure_ascii=False))
        return
    for one in profiles:
        click.echo(f"{one.id:<24} {one.status:<14} {one.title.zh_CN} · {one.title.en}")


@profile.command()
@click.argument("profile_id", metavar="ID")
@site_option
@json_option
def show(profile_id: str, site: Path | None, as_json: bool) -> None:
    """Say what the profile ID looks for, takes and reads from names."""
    found = find_profile(load_profiles(site=site), profile_id)
    if as_json:
        click.echo(found.model_dump_json(by_alias=True))
        return
    click.echo("\n".join(profile_report.described(found)))


@profile.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--capture", "capture_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A capture to try it on.")  # fmt: skip
@click.option(
    "--captures", type=directory, help="Where captures of physical devices lie, for status = tested."
)
@site_option
@click.pass_context
def check(
    context: click.Context,
    path: Path | None,
    capture_file: Path | None,
    captures: Path | None,
    site: Path | None,
) -> None:
    """Check the shipped profiles and those in PATH, a directory or one file; all mistakes are reported at once.

    With --capture: say what the profile in the file PATH would take, leave and why; 1 if it is not the one
    profile that recognises the device.
    """
    if path is None or path.is_dir():
        profiles = load_profiles(site=path or site)
        _prove(profiles, captures, None)
        click.echo(f"{len(profiles)} profiles, no mistakes.")
        return
    candidate = read_profile(path)
    seen = read_capture(capture_file) if capture_file else None
    _prove((candidate,), captures, seen)
    context.exit(Exit.YES if _checked(candidate, seen, load_profiles(site=site)) else Exit.NO)


def _checked(candidate: Profile, seen: Capture | None, known: tuple[Profile, ...]) -> bool:
    others = [one for one in known if one.id != candidate.id]
    click.echo(f"{candidate.id}: no mistakes.")
    meeting = [one.id for one in may_meet(candidate, others)]
    if meeting:
        click.echo(
            f"Neither file rules out the other, so a device may fit both and is then refused: {', '.join(meeting)}"
        )
    for line in contradictions(candidate, others):
        click.echo(line)
    if seen is None:
        return True
    result = replay(candidate, seen)
    rivals = [one for one in others if recognises(one, seen.layout)]
    click.echo("\n".join(profile_report.told(result, seen, rivals)))
    found = match_layout([candidate, *others], seen.layout, "This device")
    return found is not None and found.id == candidate.id


def _prove(profiles: tuple[Profile, ...], captures: Path | None, seen: Capture | None) -> None:
    where = captures or CAPTURES
    behind = [*captures_in(where), *([seen] if seen else [])]
    for one in profiles:
        prove(one, behind, where)


@profile.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--bay", type=int, help="The device in this bay of the station instead of a PATH.")
@site_option
@click.pass_context
def match(context: click.Context, path: Path | None, bay: int | None, site: Path | None) -> None:
    """Say which profile recognises the card, folder or card image PATH, or the device in a bay, and why.

    0: one does; 1: none does. Marks of more than one are an error, after the marks themselves.
    """
    known = load_profiles(site=site)
    with _opened(path, bay, Path(context.obj)) as (listing, _):
        layout = listing.layout
    click.echo("\n".join(explained(known, layout)), err=True)
    found = match_layout(known, layout, "This device")
    click.echo(found.id if found else "No profile recognises this layout.")
    context.exit(Exit.YES if found else Exit.NO)


@profile.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--bay", type=int, help="The device in this bay of the station instead of a PATH.")
@click.option(
    "--id", "profile_id", required=True, help="A short name for it: small letters, digits, hyphens."
)
@click.option(
    "--into", type=directory, default=Path(), help="Where the two files are written.  [default: here]"
)
@click.option("--instead-of", multiple=True, metavar="ID",
              help="Draft although the profile ID recognises it; ID then stands back.")  # fmt: skip
@site_option
@click.pass_context
def new(
    context: click.Context, path: Path | None, bay: int | None, profile_id: str, into: Path,
    instead_of: tuple[str, ...], site: Path | None,
) -> None:  # fmt: skip
    """Capture the card, folder or card image PATH, or the device in a bay, and draft a profile from it.

    The capture holds names, sizes and times, never content, and stand-ins for people's numbers. 0: both files are
    written; 1: a profile recognises the device already, and only the capture is.
    """
    known = load_profiles(site=site)
    with _opened(path, bay, Path(context.obj)) as (listing, origin):
        seen = capture(listing, origin, utc_now())
    capture_path = into / f"{profile_id}.capture.json"
    _write(capture_path, seen.text())
    click.echo(f"{capture_path}: {len(seen.files)} files of {_origin(seen)}; people's numbers are stand-ins.")
    found = match_layout([one for one in known if one.id not in instead_of], seen.layout, "This device")
    if found is not None:
        click.echo(
            f"The profile '{found.id}' recognises it; --instead-of {found.id} drafts one all the same."
        )
        context.exit(Exit.NO)
    text = draft(seen, profile_id, known, instead_of)
    _write(into / f"{profile_id}.toml", text)
    click.echo(f"{into / profile_id}.toml: a draft. {text.count(LOOK)} places to look at:")
    click.echo("\n".join(_to_look_at(text)))
    click.echo(f"Then: sealdock profile check {into / profile_id}.toml --capture {capture_path}")


def _to_look_at(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(LOOK):
            yield f"  line {number}: {line.removeprefix(LOOK).strip()}"


def _origin(seen: Capture) -> str:
    return "a physical device" if seen.source == "physical" else "an emulated device or a folder"


@contextmanager
def _opened(path: Path | None, bay: int | None, settings: Path) -> Iterator[tuple[Listing, Origin]]:
    """The medium listed, and where it comes from; let go of at the end."""
    if (path is None) == (bay is None):
        raise click.UsageError("give a PATH or --bay")
    with TemporaryDirectory(prefix="sealdock-profile-") as mounts:
        medium, is_real = _medium(path, bay, settings, Path(mounts))
        listing = medium.list()
        try:
            yield listing, origin_of(medium.root) if is_real else Origin()
        finally:
            listing.close()


def _medium(path: Path | None, bay: int | None, settings: Path, mounts: Path) -> tuple[Medium, bool]:
    """What is to be read, and whether the kernel may be asked where it comes from."""
    if path is not None and path.is_dir():
        return Medium(path, "folder", Identity(), Presence(str(path))), True
    if path is not None:
        mount = mount_image(path, mounts, str(path))
        return Medium(mount.root, mount.transport, Identity(), Presence(str(path)), mount.close), True
    arrival = _in_bay(bay, settings)
    medium = open_volume(arrival, presence_of(arrival), mounts)
    return medium, arrival.emulated_by is None


def _in_bay(bay: int | None, settings: Path) -> Arrival:
    """The volume in a bay. Raises EmptyBayError."""
    dock = Station.load(settings).settings.dock
    ports = {one.path for one in dock.bays if one.number == bay}
    detectors: list[Detector] = [UdevDetector()]
    if dock.emulation:
        detectors = [EmulationDetector(dock.emulation)]
    found: list[Sighting] = []
    once = Event()
    once.set()  # what is there now; nothing is waited for
    for detector in detectors:
        detector.watch(found.append, once)
    arrivals = [one for one in found if isinstance(one, Arrival) and one.port in ports and one.fs_type]
    if not arrivals:
        raise EmptyBayError(bay=bay)
    return arrivals[0]


def _write(path: Path, text: str) -> None:
    """A new file; one that is there is never overwritten. Raises FileThereError."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as cause:
        raise FileThereError(path=path) from cause
