"""What the documents say about the code, taken from the code: machines, commands, hardening.

`tests/docs/test_generated.py` holds the files fresh. Hardening scores depend on systemd's version, which the page
names; on another version only the bounds of tests/systemd are held.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.states import Machine  # noqa: E402  the path comes first
from sealdock.cli import sealdock  # noqa: E402

PACKAGES = ("vault", "devices", "media", "ingest", "casework", "webconsole")
MARK = "<!-- from here on: script/generate-docs -->\n"
INTRODUCTION = """\
Written by `script/generate-docs` from the units; not edited by hand. The reason for an opening stands in the unit,
beside the line that makes it; the boundaries between processes are in
[ADR 0015](../adr/0015-one-user-per-process.md).
"""
UNITS = ("keyd", "vaultd", "dockd", "worker", "console", "card@")


def machines() -> list[Machine[Any]]:
    """Every state machine of the house, by the order of packages."""
    found: dict[str, Machine[Any]] = {}
    for package in PACKAGES:
        for place in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}."):
            module = importlib.import_module(place.name)
            ours = (value for value in vars(module).values() if isinstance(value, Machine))
            found |= {machine.name: machine for machine in ours}
    return list(found.values())


def states_page() -> str:
    """docs/generated/states.md."""
    parts = [
        "# State machines\n",
        "Drawn from the tables in the code by `script/generate-docs`; not edited by hand.\n",
    ]
    for machine in machines():
        parts += [f"## {machine.name}\n", _diagram(machine)]
    return "\n".join(parts)


def _diagram(machine: Machine[Any]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(machine.states)).value}"]
    lines += [
        f"    {before.value} --> {after.value}: {event}" for (before, event), after in machine.table.items()
    ]
    leaving = {before for before, _ in machine.table}
    lines += [f"    {state.value} --> [*]" for state in machine.states if state not in leaving]
    return "\n".join([*lines, "```", ""])


def commands_page() -> str:
    """The command reference: the hand-written head stays, the rest is every command's own help."""
    page = (ROOT / "docs/operations/commands.md").read_text(encoding="utf-8")
    return page.split(MARK)[0] + MARK + "\n" + "\n".join(_help_of(sealdock, "sealdock", None))


def _help_of(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    if isinstance(command, click.Group):
        if parent is not None:
            yield f"## {context.command_path}\n\n{command.help or ''}\n"
        for child in command.list_commands(context):
            if (found := command.get_command(context, child)) is not None:
                yield from _help_of(found, child, context)
        return
    yield f"{'##' if parent and parent.parent is None else '###'} {context.command_path}\n"
    yield f"```text\n{command.get_help(context)}\n```\n"


def hardening_page() -> str:
    """docs/operations/hardening.md: the score of each unit and everything that is open in it."""
    parts = [
        "# What each process may touch\n",
        INTRODUCTION,
        f"Scores of `systemd-analyze security --offline=yes`, systemd {systemd_version()}: 0 is shut, 10 wide open.",
        "`tests/systemd` holds an upper bound for each.\n",
        "| unit | score | user | capabilities | sockets | may write |\n| --- | --- | --- | --- | --- | --- |",
    ]
    reviews = {name: _review(name) for name in UNITS}
    parts += [_row(name, reviews[name][0]) for name in UNITS]
    for name in UNITS:
        parts += [f"\n## {_unit(name)}\n", *_remarks(name), "\nOpen, in systemd's words:\n"]
        parts += [f"- {door}" for door in reviews[name][1]]
    return "\n".join(parts) + "\n"


def systemd_version() -> str:
    """The major version of this machine's systemd."""
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def _unit(name: str) -> str:
    return f"sealdock-{name}.service"


def _review(name: str) -> tuple[str, list[str]]:
    """The score, and the description of every rule that is not fully met."""
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--no-pager",
        str(ROOT / "systemd" / _unit(name)),
    ]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    score = re.findall(r"(\d+\.\d) ", table.splitlines()[-1])[0]
    rules = json.loads(
        subprocess.run([*command, "--json=short"], capture_output=True, text=True, check=True).stdout
    )
    return score, [
        f"{rule['name']}: {rule['description']}" for rule in rules if rule["exposure"] not in {None, "0.0"}
    ]


def _row(name: str, score: str) -> str:
    given = _directives(name)
    words = {
        key: " ".join(given.get(key, [])) or "-"
        for key in ("CapabilityBoundingSet", "RestrictAddressFamilies")
    }
    paths = ", ".join(f"`{path.lstrip('-')}`" for path in given.get("ReadWritePaths", [])) or "-"
    user = given.get("User", ["root"])[0]
    return (
        f"| {_unit(name)} | {score} | {user} | {words['CapabilityBoundingSet']} | "
        f"{words['RestrictAddressFamilies']} | {paths} |"
    )


def _directives(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "systemd" / _unit(name)).read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
            found.setdefault(match[1], []).extend(match[2].split())
    return found


def _remarks(name: str) -> list[str]:
    """The unit's own comments, joined to sentences."""
    text = (ROOT / "systemd" / _unit(name)).read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^# .*\n)+", text, re.MULTILINE)
    joined = [" ".join(line.removeprefix("# ") for line in block.splitlines()) for block in blocks]
    return [f"- {remark}" for remark in joined if not remark.startswith(("Sandbox:", "2 is "))]


def pages() -> dict[Path, str]:
    """Every generated file with what it should say."""
    return {
        ROOT / "docs/generated/states.md": states_page(),
        ROOT / "docs/operations/commands.md": commands_page(),
        ROOT / "docs/operations/hardening.md": hardening_page(),
    }


def is_comparable(path: Path) -> bool:
    """Whether this machine can say if the file is stale: scores of another systemd are not."""
    if path.name != "hardening.md" or not path.exists():
        return True
    return f"systemd {systemd_version()}:" in path.read_text(encoding="utf-8")


def main() -> int:
    """Write the pages, or with --check name those that are stale."""
    stale = [
        path for path, text in pages().items()
        if is_comparable(path) and (not path.exists() or path.read_text(encoding="utf-8") != text)
    ]  # fmt: skip
    for path in stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}")
        if "--check" not in sys.argv:
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
