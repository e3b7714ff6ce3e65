"""The rules for sizes, names and docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
OURS = [
    path
    for folder in (SOURCE, ROOT / "demo_app", ROOT / "alembic", ROOT / "benchmarks")
    for path in sorted(folder.rglob("*.py"))
]

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONG_FUNCTION = 30
MEANINGLESS = {"utils", "helpers", "common", "base", "core", "service", "types"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(path: Path) -> str:
    """Return the path of a file as it appears in the messages."""
    return str(path.relative_to(ROOT))


def functions() -> Iterator[tuple[str, int]]:
    """Yield each function of ours with its number of lines, without decorators."""
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{named(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Yield the classes and functions of a module whose names have no underscore at the start."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_a_module_is_short() -> None:
    """A module contains one noun. A longer module contains more than one."""
    assert [named(path) for path in OURS if len(path.read_text().splitlines()) > LONGEST_MODULE] == []


def test_a_function_is_short() -> None:
    """No function is longer than a screen, and nine out of ten are at most half as long."""
    lengths = dict(functions())
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    long = [name for name, length in lengths.items() if length > LONG_FUNCTION]
    assert len(long) <= 0.1 * len(lengths), long


def test_a_file_says_what_is_in_it() -> None:
    """A file is named by a noun of users or of an RFC. A name like "utils" does not describe the contents."""
    assert [named(path) for path in OURS if path.stem in MEANINGLESS or path.parent.name in MEANINGLESS] == []


def test_everything_public_has_a_docstring() -> None:
    """This applies to modules, classes and functions."""
    missing = []
    for path in OURS:
        if path.is_relative_to(ROOT / "alembic"):
            continue  # a migration has the docstring that Alembic shows; its functions are Alembic's
        tree = ast.parse(path.read_text())
        missing += [] if ast.get_docstring(tree) else [named(path)]
        missing += [f"{named(path)} {node.name}" for node in public(tree.body) if not ast.get_docstring(node)]
    assert missing == []


def test_the_library_does_not_print() -> None:
    """The library uses logging. Only the command line interface prints, by its own library."""
    prints = [
        f"{named(path)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if "cli" not in path.parts
    ]
    assert prints == []


def test_a_check_raises() -> None:
    """``python -O`` removes every assert statement, so the library has none."""
    asserts = [
        f"{named(path)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_few_things_lie_at_the_top() -> None:
    """They are the names for users and one folder for each other topic, few enough to see at a glance."""
    kept = {
        path.name for path in (SOURCE / "zaikio_oauth").iterdir() if path.name[0] != "_" and path.name != "py.typed"
    }
    assert len(kept) <= 14, sorted(kept)


def test_no_module_name_stands_twice() -> None:
    """Each noun has one place. The local Hub is a separate program and repeats the words of the protocol."""
    hub = SOURCE / "testing" / "local_hub"
    modules = [path.stem for path in SOURCE.rglob("*.py") if not path.stem.startswith("__") and hub not in path.parents]
    assert sorted(name for name in set(modules) if modules.count(name) > 1) == []
