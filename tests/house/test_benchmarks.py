"""The benchmark still fits the library. It is run by hand (``make benchmark``), never by the tests."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from benchmarks import plot
from benchmarks.apps import APPS
from benchmarks.measurement import Contender, Table, in_turns
from benchmarks.place import Place
from benchmarks.report import as_json
from tests.data import KEY

PLACE = Place("http://127.0.0.1:1", "sqlite+aiosqlite:///nothing.db", KEY)
NOT_HERE = {"fastapi-users", "pyjwt"}
"""Apps whose libraries are only in the benchmark's environment."""


@pytest.mark.parametrize("name", sorted(APPS.keys() - NOT_HERE))
def test_each_app_of_the_benchmark_can_be_made(name: str) -> None:
    """A change of the public face is noticed by whoever makes it, not by the next one who measures."""
    assert APPS[name](PLACE).openapi()["paths"]


async def test_contenders_take_turns_and_are_compared_within_a_round() -> None:
    """A machine that is twice as slow in one round changes no ratio."""
    turns: list[str] = []
    speeds = {"us": iter([9.0, 4.0, 2.0]), "them": iter([9.0, 8.0, 4.0])}

    def contender(name: str) -> Contender:
        async def run() -> dict[str, float]:
            turns.append(name)
            return {"requests/s": next(speeds[name])}

        return Contender(name, run)

    steps: list[str] = []
    table = await in_turns(Table("pages", "Pages", "them"), [contender("us"), contender("them")], 2, steps.append)
    assert sorted(turns[:2]) == sorted(turns[2:4]) == sorted(turns[4:]) == ["them", "us"]
    assert steps == turns
    assert table.ratios(table.row("us"), "requests/s") == [0.5, 0.5]
    machine = {"processor": "a processor", "python": "3.11"}
    results = as_json(machine, {"rounds": 2, "rows": 10}, [table])
    assert results["tables"][0]["rows"][0]["figures"]["requests/s"]["values"] == [4.0, 2.0]
    texts = [text.text for text in ET.fromstring(plot.pages(results)).iter() if text.text]
    assert {"us", "them", "3 · 0.50", "6 · 1.00"} <= set(texts)
