from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from core.errors import Exit, SealdockError, all_errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "vault", "devices", "media", "ingest", "casework", "webconsole", "sealdock")


@pytest.fixture(scope="module")
def errors() -> list[type[SealdockError]]:
    """Every error class of the house, after importing all of it."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}."):
            if "migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    ours = [error for error in all_errors() if error.__module__.split(".")[0] in PACKAGES]
    return sorted(ours, key=lambda error: (error.__module__, error.__qualname__))


def placeholders(error: type[SealdockError]) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(error.sentence) if name is not None}


def calls_in_sources(by_name: dict[str, list[type[SealdockError]]]) -> Iterator[tuple[str, str, ast.Call]]:
    for package in PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if name in by_name and all(e.__init__ is SealdockError.__init__ for e in by_name[name]):
                    yield f"{source.relative_to(ROOT)}:{node.lineno}", name, node


def test_parameters_fill_the_sentence_and_stay_readable() -> None:
    class CardError(SealdockError):
        code = "test.card"
        sentence = "The card {card} is gone."

    error = CardError(card="7")
    assert str(error) == "The card 7 is gone."
    assert error.parameters == {"card": "7"}
    assert error.exit_code is Exit.CANNOT
    assert CardError in all_errors()


def test_braces_in_a_parameter_are_only_text() -> None:
    class OddNameError(SealdockError):
        code = "test.name"
        sentence = "{name}"

    assert str(OddNameError(name="{0.__class__}{x}")) == "{0.__class__}{x}"


def test_the_exit_codes_are_the_ones_the_manual_names() -> None:
    assert {e.name: e.value for e in Exit} == {"YES": 0, "NO": 1, "WRONG_USE": 2, "CANNOT": 3}


def test_codes_are_unique(errors: list[type[SealdockError]]) -> None:
    codes = [error.code for error in errors if "code" in vars(error)]
    assert sorted(set(codes)) == sorted(codes)


def test_every_error_has_a_code_and_a_sentence_for_a_person(errors: list[type[SealdockError]]) -> None:
    wrong = []
    for error in errors:
        if not error.__name__.endswith("Error"):
            wrong.append(f"{error.__name__}: the name does not end in Error")
        if not re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)+", error.code):
            wrong.append(f"{error.__name__}: code {error.code!r}")
        if not re.fullmatch(r"[A-Z{`'].*[.!?}]", error.sentence.strip(), re.DOTALL):
            wrong.append(f"{error.__name__}: not a sentence: {error.sentence!r}")
        if not all(name.isidentifier() for name in placeholders(error)):
            wrong.append(f"{error.__name__}: parameters have names, never positions")
    assert wrong == []


def test_every_place_that_makes_an_error_gives_what_its_sentence_names(
    errors: list[type[SealdockError]],
) -> None:
    by_name: dict[str, list[type[SealdockError]]] = defaultdict(list)
    for error in errors:  # two packages may use one name; codes tell them apart
        by_name[error.__name__].append(error)
    wrong = []
    for place, name, call in calls_in_sources(by_name):
        given = {keyword.arg for keyword in call.keywords}
        if None in given:
            continue
        if call.args:
            wrong.append(f"{place} {name} takes parameters by name")
        lacking = [placeholders(error) - given for error in by_name[name]]
        if all(lacking):
            wrong.append(f"{place} {name} lacks {[sorted(missing) for missing in lacking]}")
    assert wrong == []
