"""Contenders that take turns, and what comes of it: medians and spread."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.machine import cpu_seconds

__all__ = ["Contender", "Figures", "Row", "Stopwatch", "Table", "in_turns"]

Figures = Mapping[str, float]
"""What one contender has done in one round, by the names of the table's columns."""


@dataclass(frozen=True)
class Contender:
    """One of those that are compared: its name, and what it does in one round."""

    name: str
    run: Callable[[], Awaitable[Figures]]


@dataclass
class Row:
    """All figures of one contender, one for each round."""

    name: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: Figures) -> None:
        """Add one round."""
        for column, value in figures.items():
            self.values.setdefault(column, []).append(value)


@dataclass
class Table:
    """Contenders that do the same thing. All are compared with ``reference`` by the first column."""

    topic: str
    title: str
    reference: str
    rows: list[Row] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The names of the figures."""
        return list(self.rows[0].values) if self.rows else []

    def row(self, name: str) -> Row:
        """Return the row of this contender, which is new if it has none yet."""
        for row in self.rows:
            if row.name == name:
                return row
        self.rows.append(Row(name))
        return self.rows[-1]

    def ratios(self, row: Row, column: str) -> list[float]:
        """Return how many times the reference's figure this one was, in each round."""
        theirs = self.row(self.reference).values[column]
        return [mine / other for mine, other in zip(row.values[column], theirs, strict=True) if other]

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured."""
        return {
            "topic": self.topic,
            "title": self.title,
            "reference": self.reference,
            "rows": [
                {
                    "name": row.name,
                    "figures": {
                        column: {**_summary(values), "times_the_reference": _summary(self.ratios(row, column))}
                        for column, values in row.values.items()
                    },
                }
                for row in self.rows
            ],
        }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"median": None, "values": []}
    return {"median": median(values), "lowest": min(values), "highest": max(values), "values": list(values)}


class Stopwatch:
    """Measures one process by wall clock and by processor time, from its creation on."""

    def __init__(self, process_id: int | None = None) -> None:
        self._process_id = process_id
        gc.collect()
        self._cpu, self._wall = self._cpu_now(), time.perf_counter()

    def figures(self, operations: int, rate: str) -> dict[str, float]:
        """Return how many operations a second there were, and the processor time of each."""
        wall, cpu = time.perf_counter() - self._wall, self._cpu_now() - self._cpu
        return {rate: operations / wall, "CPU µs": cpu * 1e6 / operations}

    def _cpu_now(self) -> float:
        if self._process_id in (None, os.getpid()):
            return time.process_time()
        return cpu_seconds(self._process_id or 0)


Step = Callable[[str], None]
"""Is told of each step that has been taken, by its name."""


async def in_turns(table: Table, contenders: Sequence[Contender], rounds: int, step: Step) -> Table:
    """Run everybody once in each round, each round in another order, so that whatever else the machine does is shared.

    Before the first round everybody runs once without being measured.
    """
    for contender in contenders:
        table.row(contender.name)
        await contender.run()
        step(contender.name)
    for number in range(rounds):
        order = list(contenders)
        random.Random(number).shuffle(order)
        for contender in order:
            table.row(contender.name).add(await contender.run())
            step(contender.name)
    return table
