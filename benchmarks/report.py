"""The results as tables in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.measurement import Row, Table

__all__ = ["as_json", "show"]


def as_json(machine: dict[str, Any], options: dict[str, Any], tables: Sequence[Table]) -> dict[str, Any]:
    """Return everything that was measured, and where."""
    return {"machine": machine, "options": options, "tables": [table.as_json() for table in tables]}


def show(console: Console, machine: dict[str, Any], tables: Sequence[Table]) -> None:
    """Print a table for each group of contenders."""
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left", title_style="bold", min_width=80)
        shown.add_column("")
        for column in table.columns:
            shown.add_column(column, justify="right")
        shown.add_column(f"× {table.reference}", justify="right")
        for row in table.rows:
            shown.add_row(row.name, *(_spread(values) for values in row.values.values()), _ratio(table, row))
        console.print(shown)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    pinned = "one core for what is measured, the others for the rest" if machine["pinned"] else "not pinned"
    where = f"{machine['processor']}, {machine['cores']} cores ({pinned})"
    console.print(f"Medians, with half of the range from the lowest to the highest. {where}.", style="dim")
    console.print(f"{machine['system']}, Python {machine['python']}, {versions}.", style="dim")


def _spread(values: Sequence[float]) -> str:
    middle = median(values)
    return f"{number(middle)} ±{(max(values) - min(values)) / 2 / middle:4.0%}" if middle else "0"


def _ratio(table: Table, row: Row) -> str:
    return f"{median(table.ratios(row, table.columns[0])):.2f}"


def number(value: float) -> str:
    """Return the number with three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
