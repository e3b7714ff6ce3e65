"""The plot of the documentation: pages per second of one process, as SVG that is readable in light and dark."""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["pages"]

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 22, 10, 300, 120, 66
STYLE = """
  .card { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .quiet { fill: #59636e; font-size: 12px } .ours { fill: #0969da } .peer { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    .card { fill: #131416 } text { fill: #e6edf3 }
    .quiet { fill: #9198a1 } .ours { fill: #4493f8 } .peer { fill: #656c76 }
  }
"""


def pages(results: dict[str, Any]) -> str:
    """Return the plot of the first table: requests a second, and as a share of a bare endpoint."""
    table = next(each for each in results["tables"] if each["topic"] == "pages")
    rows = [(row["name"], row["figures"]["requests/s"]) for row in table["rows"]]
    most = max(figures["median"] for _, figures in rows)
    height = TOP + len(rows) * (BAR + GAP) + 14
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{height}" rx="8"/>',
        '<text id="title" class="title" x="20" y="28">Pages a second of one process on one core</text>',
        f'<text class="quiet" x="20" y="48">{escape(_conditions(results))}</text>',
    ]
    for number, (name, figures) in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        length = (WIDTH - LEFT - RIGHT) * figures["median"] / most
        kind = "ours" if name.startswith("zaikio_oauth") else "peer"
        share = figures["times_the_reference"]["median"]
        lines += [
            f'<text x="{LEFT - 12}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>',
            f'<text x="{LEFT + length + 8:.1f}" y="{y + 16}">{figures["median"]:,.0f} · {share:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _conditions(results: dict[str, Any]) -> str:
    machine, options = results["machine"], results["options"]
    return (
        f"and as a share of a bare endpoint · median of {options['rounds']} rounds · {options['rows']:,} tokens · "
        f"{machine['processor']} · Python {machine['python']}"
    )
