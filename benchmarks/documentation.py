"""Writes the tables of a run into the page on scale: ``python -m benchmarks.documentation RESULTS …``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.report import number

__all__ = ["updated"]

PAGE = ROOT / "docs" / "explanation" / "scale.md"
OURS = "zaikio_oauth"


def updated(page: str, table: dict[str, Any]) -> str | None:
    """Return the page with this table instead of the one with the same title, or None if it has none."""
    lines = page.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(f"| {table['title']} |")]
    if not starts:
        return None
    (start,) = starts
    end = start
    while end < len(lines) and lines[end]:
        end += 1
    return "\n".join([*lines[:start], *_lines(table), *lines[end:]]) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    columns = list(table["rows"][0]["figures"])
    head = [table["title"], *columns, f"{columns[0]} × {table['reference']}"]
    return [_line(head), _line(["---"] * len(head)), *(_line(_cells(row, columns[0])) for row in table["rows"])]


def _cells(row: dict[str, Any], first: str) -> list[str]:
    name = f"**{row['name']}**" if row["name"].startswith(OURS) else row["name"]
    figures = [_spread(figure) for figure in row["figures"].values()]
    return [name, *figures, f"{row['figures'][first]['times_the_reference']['median']:.2f}"]


def _spread(figure: dict[str, Any]) -> str:
    middle, half = figure["median"], (figure["highest"] - figure["lowest"]) / 2
    return f"{number(middle)} ±{half / middle:.0%}" if half else number(middle)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write them, and name the tables that the page does not have."""
    page = PAGE.read_text()
    for results in sys.argv[1:]:
        for table in json.loads(Path(results).read_text())["tables"]:
            with_table = updated(page, table)
            if with_table is None:
                print(f"not on the page: {table['title']}")
            page = with_table or page
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
