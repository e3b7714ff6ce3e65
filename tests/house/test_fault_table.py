"""The pages about faults, single flight, freshness and sync code name the test of each row, and no test of a fault is missing there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "faults.md"
SINGLE_FLIGHT = ROOT / "docs" / "explanation" / "single-flight.md"
FRESHNESS = ROOT / "docs" / "explanation" / "freshness.md"
SYNC_CODE = ROOT / "docs" / "how-to" / "sync-code.md"


def names_of_tests(folder: Path) -> set[str]:
    """Return the names of all test functions below the folder."""
    return {
        node.name
        for path in folder.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def rows() -> list[str]:
    """Return the rows of all tables of these pages, without their headings."""
    text = PAGE.read_text() + SINGLE_FLIGHT.read_text() + FRESHNESS.read_text() + SYNC_CODE.read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        line
        for line in lines
        if not line.startswith(("| ---", "| fault |", "| operation |", "| promise |", "| what happens |"))
    ]


def test_each_row_names_tests_that_exist() -> None:
    """Who doubts a row can run its test."""
    existing = names_of_tests(ROOT / "tests")
    named = {row: set(re.findall(r"`(test_\w+)`", row)) for row in rows()}
    assert [row for row, names in named.items() if not names] == []
    assert sorted(set().union(*named.values()) - existing) == []


def test_each_test_of_a_fault_is_in_a_row() -> None:
    """A reader of the page sees everything that is tested."""
    assert sorted(names_of_tests(ROOT / "tests" / "faults") - set(re.findall(r"`(test_\w+)`", PAGE.read_text()))) == []
