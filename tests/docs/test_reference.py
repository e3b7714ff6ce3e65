"""The reference of the documentation site: it has all that users can name, and nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
import sys

import pytest

from tests.docs.pages import DOCS

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
