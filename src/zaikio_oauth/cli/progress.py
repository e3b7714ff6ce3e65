"""What a person sees while long work goes on: a bar on stderr, in a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Advance", "progress"]

BAR_WIDTH = 16
"""With what stands beside it, a line fits into 50 columns."""


class Advance(Protocol):
    """Shows how far the work is: how many are done, and which part of all that is, from 0 to 1, if it is known."""

    def __call__(self, done: int, part: float | None = None) -> None: ...


@contextmanager
def progress(doing: str, *, as_json: bool = False) -> Iterator[Advance]:
    """Show a bar in the body of ``with``, and remove it afterwards. Nothing is shown to programs.

    ``as_json``: whether the command prints JSON, which is for programs even in a terminal.
    """
    shown = sys.stdout.isatty() and sys.stderr.isatty() and not as_json
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(BAR_WIDTH), TextColumn("{task.fields[done]}"))
    bar = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not shown)
    # Without a total the bar only moves.
    task = bar.add_task(doing, total=None, done="")

    def advance(done: int, part: float | None = None) -> None:
        total = None if part is None else 1.0
        bar.update(task, total=total, completed=part or 0.0, done=f"{done:,}")

    # Before 14.3, rich ends the line even of a bar that is not shown.
    with bar if shown else nullcontext():
        yield advance
