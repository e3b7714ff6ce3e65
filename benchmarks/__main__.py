"""Reads the options, measures, shows and saves: ``make benchmark``."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import (
    bulk,
    changes,
    logins,
    lookups,
    machine,
    pages,
    plot,
    refreshes,
    report,
    sizes,
    storm,
    upkeep,
    weight,
)
from benchmarks.measurement import Table
from benchmarks.stage import Options, Stage

TOPICS: dict[str, ModuleType] = {
    topic.NAME: topic for topic in (pages, lookups, sizes, logins, refreshes, storm, changes, bulk, upkeep, weight)
}
QUICK = Options(rounds=2, rows=5_000, seconds=1.0)


def main() -> None:
    """Run."""
    topics, options, output = _arguments()
    logging.getLogger("zaikio_oauth").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    console = Console()
    tables: list[Table] = []
    with _progress(console) as progress, Stage(options) as stage:
        for name in topics:
            task = progress.add_task(name, total=TOPICS[name].steps(options.rounds), now="preparing")
            tables += uvloop.run(TOPICS[name].measure(stage, partial(_took_step, progress, task)))
            progress.update(task, now="")
    about = machine.description()
    report.show(console, about, tables)
    output.mkdir(parents=True, exist_ok=True)
    results = report.as_json(about, {"topics": topics, **asdict(options)}, tables)
    (output / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    console.print(f"Saved: {output / 'results.json'}")
    if "pages" in topics:
        (output / "benchmark.svg").write_text(plot.pages(results))
        console.print(f"Saved: {output / 'benchmark.svg'}")


def _arguments() -> tuple[Sequence[str], Options, Path]:
    parser = argparse.ArgumentParser(prog="make benchmark", description="ARGS='…' takes these:")
    parser.add_argument("topics", nargs="*", metavar="topic", help=f"some of: {', '.join(TOPICS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="a minute or two, to see whether everything works")
    parser.add_argument("--rounds", type=int, help="how often each contender is measured")
    parser.add_argument("--rows", type=int, help="tokens in each database")
    parser.add_argument("--seconds", type=float, help="for each contender in each round")
    parser.add_argument("--output", type=Path, default=Path("build/benchmark"), help="the folder of the results")
    given = parser.parse_args()
    if unknown := set(given.topics) - TOPICS.keys():
        parser.error(f"no such topic: {', '.join(sorted(unknown))}")
    default = QUICK if given.quick else Options()
    options = Options(given.rounds or default.rounds, given.rows or default.rows, given.seconds or default.seconds)
    return given.topics or list(TOPICS), options, given.output


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[now]}"), console=console)


def _took_step(progress: Progress, task: TaskID, name: str) -> None:
    progress.update(task, advance=1, now=name)


if __name__ == "__main__":
    main()
