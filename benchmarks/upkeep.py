"""How long people wait for their pages while all rows are re-encrypted, or those that have ended are deleted."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

from cryptography.fernet import Fernet

from benchmarks.machine import pin_to_load_core
from benchmarks.measurement import Contender, Figures, Step, Table, in_turns
from benchmarks.ours import session_header
from benchmarks.processes import Process
from benchmarks.stage import DATABASES, Stage

__all__ = ["NAME", "measure", "steps"]

NAME = "upkeep"
PACE = 0.004
"""The seconds between two visits."""

ENDED = 60_000
CONTENDERS = 4


class _Visits:
    """A visit every few milliseconds, of somebody else each time; each reads its token from the database."""

    def __init__(self, url: str, headers: Sequence[str]) -> None:
        self._address = urlsplit(url).netloc
        self._headers = itertools.cycle(header.partition(": ")[2] for header in headers)

    def until(self, over: Callable[[], bool]) -> Figures:
        """Return how long they took."""
        connection = http.client.HTTPConnection(self._address)
        waits: list[float] = []
        following = time.perf_counter()
        while not over() or len(waits) < 100:
            time.sleep(max(0.0, following - time.perf_counter()))
            # From when it was due, so that a long wait counts for all visits that it delays.
            started, following = following, following + PACE
            connection.request("GET", "/me", headers={"Cookie": next(self._headers)})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"A page answered {response.status}.")
            waits.append(time.perf_counter() - started)
        connection.close()
        waits.sort()
        return {"p99 ms": waits[len(waits) * 99 // 100] * 1000, "median ms": waits[len(waits) // 2] * 1000}


class _Beside:
    """What happens meanwhile."""

    def __init__(self, visits: _Visits, worker: Process, seconds: float) -> None:
        self._visits, self._worker, self._seconds = visits, worker, seconds

    async def nothing(self) -> Figures:
        ends = time.perf_counter() + self._seconds
        return await asyncio.to_thread(self._visits.until, lambda: time.perf_counter() > ends)

    async def computing(self) -> Figures:
        return await asyncio.to_thread(self._during, "compute")

    async def rotation(self) -> Figures:
        return await asyncio.to_thread(self._during, "rotate")

    async def cleanup(self) -> Figures:
        self._worker.tell(f"end {ENDED}")
        await asyncio.to_thread(self._worker.ask)
        return await asyncio.to_thread(self._during, "clean up")

    def _during(self, order: str) -> Figures:
        said: list[str] = []
        waiting = threading.Thread(target=lambda: said.append(self._worker.ask()))
        self._worker.tell(order)
        waiting.start()
        figures = self._visits.until(lambda: bool(said))
        waiting.join()
        if not int(said[0]):
            raise RuntimeError(f"There was nothing to {order}.")
        return figures


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return a table for each database."""
    pin_to_load_core()
    return [await _measured(stage, database, step) for database in DATABASES]


async def _measured(stage: Stage, database: str, step: Step) -> Table:
    rows = await stage.rows(database)
    headers = [session_header(*row) for row in random.Random(1).sample(rows, min(2_000, len(rows)))]
    place, other = stage.place(database), Fernet.generate_key().decode()
    both = replace(place, key=f"{place.key} {other}")
    table = Table(NAME, f"Pages while rows are tidied up, {database}", "nothing else")
    with ExitStack() as stack:
        server = stack.enter_context(Process("benchmarks.app_server", "ours, cache off", both.as_text()))
        worker = stack.enter_context(Process("benchmarks.upkeep_worker", place.as_text(), other))
        beside = _Beside(_Visits(server.said, headers), worker, stage.seconds)
        contenders = [
            Contender("nothing else", beside.nothing),
            Contender("a process that only computes", beside.computing),
            Contender(f"key rotation of {stage.number:,} rows", beside.rotation),
            Contender(f"cleanup of {ENDED:,} rows", beside.cleanup),
        ]
        await in_turns(table, contenders, stage.rounds, step)
        # What is measured next finds the rows under the key that they had, after an even number of rotations.
        if stage.rounds % 2 == 0:
            await beside.rotation()
        return table


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return len(DATABASES) * CONTENDERS * (rounds + 1)
