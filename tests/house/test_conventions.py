"""Sizes, names and docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
OURS = [path for folder in (SOURCE, ROOT / "demo_app", ROOT / "alembic") for path in sorted(folder.rglob("*.py"))]

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONG_FUNCTION = 30
MEANINGLESS = {"utils", "helpers", "common", "base", "core", "service", "types"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    """A file as the complaints call it."""
    return str(path.relative_to(ROOT))


def functions() -> Iterator[tuple[str, int]]:
    """Every function of ours with its length in lines, decorators not counted."""
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{named(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """The classes and functions of a module that have no underscore."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_a_module_is_short() -> None:
    """One noun in each; what is longer is two."""
    assert [named(path) for path in OURS if len(path.read_text().splitlines()) > LONGEST_MODULE] == []


def test_a_function_is_short() -> None:
    """None fills more than a screen, and nine in ten are half of that."""
    lengths = dict(functions())
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    long = [name for name, length in lengths.items() if length > LONG_FUNCTION]
    assert len(long) <= 0.1 * len(lengths), long


def test_a_file_says_what_is_in_it() -> None:
    """By a noun that a user or an RFC says; "utils" says nothing."""
    assert [named(path) for path in OURS if path.stem in MEANINGLESS or path.parent.name in MEANINGLESS] == []


def test_everything_public_has_a_docstring() -> None:
    """Modules, classes and functions; one line of what it is."""
    missing = []
    for path in OURS:
        if path.is_relative_to(ROOT / "alembic"):
            continue  # a migration has the docstring that Alembic shows; its functions are Alembic's
        tree = ast.parse(path.read_text())
        missing += [] if ast.get_docstring(tree) else [named(path)]
        missing += [f"{named(path)} {node.name}" for node in public(tree.body) if not ast.get_docstring(node)]
    assert missing == []


def test_the_library_does_not_print() -> None:
    """It logs; only the command line talks, and it uses its own library for that."""
    prints = [
        f"{named(path)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if "cli" not in path.parts
    ]
    assert prints == []


def test_a_check_raises() -> None:
    """``python -O`` removes every assert, so the library has none."""
    asserts = [
        f"{named(path)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_few_things_lie_at_the_top() -> None:
    """What a user names, and one folder for each thing behind it: few enough to take in at a glance."""
    kept = {path.name for path in SOURCE.iterdir() if not path.name.startswith("__") and path.name != "py.typed"}
    assert len(kept) <= 14, sorted(kept)


def test_no_module_name_stands_twice() -> None:
    """Whoever looks for a noun finds one place. The local Hub is another program and repeats the protocol's words."""
    hub = SOURCE / "testing" / "local_hub"
    modules = [path.stem for path in SOURCE.rglob("*.py") if not path.stem.startswith("__") and hub not in path.parents]
    assert sorted(name for name in set(modules) if modules.count(name) > 1) == []
