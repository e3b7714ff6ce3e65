"""Every example in a docstring of the library is run."""

from __future__ import annotations

import ast
import asyncio
import shutil
import textwrap
from pathlib import Path

import pytest

from tests.docs import prepared_apps, prepared_tokens  # noqa: F401 (they declare preparations)
from tests.docs.docstring_examples import NOT_PYTHON, PACKAGE, Example, documented, examples, examples_of
from tests.docs.docstring_reader import PREPARATIONS, Reader
from tests.docs.world import World

EXAMPLES = examples()


@pytest.fixture
def migrated(tmp_path: Path, migrated_sqlite: Path) -> None:
    """Put a database at the place where the world has one, which saves each example the migrations."""
    shutil.copy(migrated_sqlite, tmp_path / "docs.db")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_example_runs(example: Example, migrated: None, world: World) -> None:
    """A reader who has what it takes for granted may copy it, and it does what its docstring says."""
    reader = Reader(example, world)
    asyncio.run(PREPARATIONS.get(example.name, Reader.run)(reader))
    assert reader.has_run


def test_each_preparation_has_an_example() -> None:
    """What prepares an example that is gone, or called otherwise now, goes too."""
    assert PREPARATIONS.keys() - {example.name for example in EXAMPLES} == set()


def test_a_name_that_no_reader_has_is_an_error(world: World) -> None:
    """It is named, with the place of the example, although the example never uses it."""
    example = Example("tokens.unheard_of", PACKAGE / "errors.py", 12, "def later():\n    unheard_of()\n")
    with pytest.raises(pytest.fail.Exception, match=r"errors\.py:12\) takes unheard_of for granted"):
        asyncio.run(Reader(example, world).run())


@pytest.mark.parametrize(
    "docstring", ["Do.\n\nProse:\n\n    x(\n\nMore.", "Do.\n\n\n\nx(", "Do.\n\nMore.\n\n    x(\n\n    y"]
)
def test_an_example_with_a_syntax_error_is_not_taken_for_text(docstring: str) -> None:
    """It is found, indented or not, and fails at its own line."""
    text = textwrap.indent(f'"""{docstring}\n"""\n', "    ")
    module = ast.parse(f"class Thing:\n{text}")
    *_, (name, node) = documented("module", module)
    (example,) = examples_of(name, PACKAGE / "errors.py", node)
    assert (example.name, example.line) == ("module.Thing", 6)
    with pytest.raises(SyntaxError) as caught:
        example.compiled()
    assert caught.value.lineno == 6


def test_what_is_no_example_is_not_python() -> None:
    """Otherwise it has to be run as well."""
    for name in NOT_PYTHON:
        path = PACKAGE / f"{name}.py"
        (figure,) = examples_of(name, path, ast.parse(path.read_text()))
        with pytest.raises(SyntaxError):
            figure.compiled()
