"""D39: no code path ends a sealed object without a sequenced `dispose` entry."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from vault.retention import erasure

ROOT = Path(erasure.__file__).resolve().parents[2]
ENDING = {"unlink", "remove", "rmtree", "rmdir", "truncate", "ftruncate", "removedirs"}
WORDS = ("object_path", '"objects"', ".chunks", "objects/")  # what names a sealed object's place
PACKAGES = ("core", "vault", "ingest", "casework", "webconsole", "sealdock")
ALLOWED = {  # every function that names a sealed object's place and ends a file, and why it may
    ("vault/retention/erasure.py", "_objects"): "the eraser itself, for an order",
    ("vault/intake.py", "_name"): "ends the name in incoming/, after the object has its own",
}


def functions(package: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(ROOT)), node, ast.get_source_segment(source, node) or ""


def ends_something(node: ast.AST) -> bool:
    calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in ENDING for call in calls)


def test_only_the_eraser_ends_a_sealed_object() -> None:
    found = {
        (file, node.name)
        for package in PACKAGES for file, node, source in functions(package)
        if ends_something(node) and any(word in source for word in WORDS)
    }  # fmt: skip
    assert found == set(ALLOWED)


def test_the_eraser_moves_only_for_an_order_and_only_the_proof_makes_one() -> None:
    makers = {
        (file, node.name)
        for package in PACKAGES for file, node, _ in functions(package)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Order"
    }  # fmt: skip
    assert makers == {("vault/retention/order.py", "ordered")}
    [erase] = [
        node
        for file, node, _ in functions("vault")
        if (file, node.name) == ("vault/retention/erasure.py", "erase")
    ]
    assert [ast.unparse(each.annotation) for each in erase.args.args[1:] if each.annotation] == ["Order"]


def test_the_order_is_made_behind_the_rules() -> None:
    [ordered] = [
        node
        for file, node, _ in functions("vault")
        if (file, node.name) == ("vault/retention/order.py", "ordered")
    ]
    names = [
        call.func.id
        for call in ast.walk(ordered)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    assert "check_dispose" in names
