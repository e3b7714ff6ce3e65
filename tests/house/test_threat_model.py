"""``docs/explanation/threat-model.md`` names a test for each row, and the tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (?:---|attack|fault|rule) ", line)
]
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
LAST_SECTION = 17
"""RFC 9700 ends its §4 with §4.17."""


def test_every_row_names_a_test() -> None:
    """A promise without a test is an intention."""
    assert [row for row in ROWS if not NAMED.search(row.rpartition(" | ")[2])] == []
    assert len(ROWS) > 40


def test_every_test_that_is_named_exists() -> None:
    """A test that was renamed is renamed on the page, too."""
    missing = []
    for file, name in NAMED.findall(PAGE):
        path = ROOT / "tests" / file
        functions = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
        if name not in {node.name for node in functions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_no_section_of_rfc_9700_is_left_out() -> None:
    """Each attack of its §4 has one row, in order, also if it is not ours to prevent."""
    assert re.findall(r"^\| §4\.(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, LAST_SECTION + 1)]
