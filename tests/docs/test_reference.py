"""The reference of the documentation site: it has all that users can name, and nothing else."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from typing import get_args

import pytest

from tests.docs.docstring_examples import PACKAGE, documented, examples_of
from tests.docs.pages import DOCS
from zaikio_oauth import ClientSettings, HubEvent, Settings, zaikio_router
from zaikio_oauth.store.tables import Tables
from zaikio_oauth.tokens.telemetry import Kind

REFERENCE = DOCS / "reference"

sys.path.insert(0, str(DOCS))
from docstrings import as_restructuredtext  # noqa: E402 (it lies beside the pages)

sys.path.pop(0)


@pytest.mark.parametrize("module", ["zaikio_oauth", "zaikio_oauth.testing"])
def test_every_public_name_is_on_a_page(module: str) -> None:
    """Each name of ``__all__`` is explained once, and no other name is."""
    text = "\n".join(page.read_text() for page in REFERENCE.rglob("*.md"))
    explained = re.findall(rf"^\.\. (?:auto\w+|py:data):: {re.escape(module)}\.(\w+)\b(?!\.)", text, flags=re.MULTILINE)
    assert sorted(explained) == importlib.import_module(module).__all__


def test_every_explanation_has_an_example() -> None:
    """The docstring of each public name ends with code, or its page shows it in use."""
    text = "\n".join(page.read_text() for page in REFERENCE.rglob("*.md"))
    shown = "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    for module in map(importlib.import_module, ("zaikio_oauth", "zaikio_oauth.testing")):
        for name in module.__all__:
            docstring = as_restructuredtext(inspect.getdoc(getattr(module, name)) or "")
            written = re.search(rf"\.\. py:data:: \S+\.{name}\n.*?\.\. code-block:: python", text, flags=re.DOTALL)
            assert ".. code-block:: python" in docstring or written or re.search(rf"\b{name}\b", shown), name


def test_a_docstring_becomes_restructuredtext() -> None:
    """Explanations become parameters, sentences about errors a field, and the example a block of code."""
    docstring = """Do something.

    ``one`` is prose. ``two``: the second, for with_auth.
    ``three`` and ``four(x)``: the others; see ``refresh`` and TokenEvent. Raises OAuthError.

        first()

        second()
    """
    assert as_restructuredtext(inspect.cleandoc(docstring)).splitlines() == [
        "Do something.",
        "",
        "``one`` is prose.",
        "",
        ":param two: The second, for with_auth.",
        ":param three: The others; see :py:obj:`~zaikio_oauth.refresh` and :py:obj:`~zaikio_oauth.TokenEvent`.",
        ":param four: The others; see :py:obj:`~zaikio_oauth.refresh` and :py:obj:`~zaikio_oauth.TokenEvent`.",
        ":Raises: :py:obj:`~zaikio_oauth.OAuthError`.",
        "",
        ".. code-block:: python",
        "",
        "    first()",
        "",
        "    second()",
    ]


def test_an_example_without_indentation_is_recognized() -> None:
    """The formatter removes the indentation of an example that is all that follows the first line."""
    assert as_restructuredtext("Do something.\n\ntry:\n    x()\nexcept OAuthError:\n    ...") == (
        "Do something.\n\n.. code-block:: python\n\n    try:\n        x()\n    except OAuthError:\n        ...\n"
    )


def test_every_example_that_is_shown_is_found() -> None:
    """What becomes a block of code is what test_docstring_examples.py runs, and nothing else is."""
    for path in PACKAGE.rglob("*.py"):
        for name, node in documented("", ast.parse(path.read_text())):
            docstring = ast.get_docstring(node)
            shown = as_restructuredtext(docstring) if docstring else ""
            blocks = re.findall(r"^\.\. code-block:: python\n((?:\n| {4}.*\n)+)", shown, flags=re.MULTILINE)
            found = [example.code.strip() for example in examples_of(name, path, node)]
            assert [textwrap.dedent(block).strip() for block in blocks] == found, f"{path}: {name}"


def column(page: str, number: int, heading: str = "") -> list[str]:
    """Return what is in backticks in one column of the tables of a page, below a heading if one is named."""
    text = (DOCS / page).read_text().partition(heading)[2] if heading else (DOCS / page).read_text()
    rows = [line.split(" | ") for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[number])]


def test_every_setting_is_on_the_page() -> None:
    """Once each, as a variable, and no other variable is."""
    settings = {f"ZAIKIO_{name.upper()}" for name in Settings.model_fields if name != "clients"}
    of_clients = {f"ZAIKIO_CLIENTS__WAREHOUSE__{name.upper()}" for name in ClientSettings.model_fields}
    assert sorted(column("reference/settings.md", 0)) == sorted(settings | of_clients)


def test_every_route_is_on_the_page() -> None:
    """With its method and its name, in the order in which they are declared."""
    declared = [
        (f"{method} {route.path}", route.name)  # type: ignore[attr-defined]
        for route in zaikio_router.routes
        for method in route.methods  # type: ignore[attr-defined]
        if "{client_name}" not in route.path  # type: ignore[attr-defined]
    ]
    page = "reference/routes.md"
    assert list(zip(column(page, 0), column(page, 1), strict=True)) == declared


def test_every_event_is_on_the_page() -> None:
    """Each kind of a token event, and each field of an event of the Hub."""
    page = "reference/events.md"
    kinds = [name for name in column(page, 0, "## Token events") if name != "kind"]
    assert sorted(kinds) == sorted(get_args(Kind))
    assert column(page, 0, "## Events of the Hub") == [field.name for field in dataclasses.fields(HubEvent)]


def test_every_column_of_the_database_is_on_the_page() -> None:
    """What is stored is listed completely, for those who have to say so."""
    rows = [line.split(" | ") for line in (DOCS / "explanation/data.md").read_text().splitlines()]
    listed = {row[0].strip("| `"): re.findall(r"`([^`]+)`", row[1]) for row in rows if row[0].startswith("| `zaikio_")}
    stored = {name: table.columns.keys() for name, table in Tables().metadata.tables.items()}
    assert listed == stored
