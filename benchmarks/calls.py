"""Callers of one process that look up one token after the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from benchmarks.measurement import Figures, Stopwatch

__all__ = ["Call", "Calls"]

Call = Callable[[Any], Awaitable[Any]]
"""Finds one token; the result is None if there is none."""


class Calls:
    """Callers that make the same call, each about the next of what is looked for, again and again."""

    def __init__(self, call: Call, about: Sequence[Any], callers: int, seconds: float) -> None:
        self._call, self._about, self._callers, self._seconds = call, about, callers, seconds
        self._done = 0

    async def run(self) -> Figures:
        """Call for so many seconds."""
        self._done = 0
        about = itertools.cycle(self._about)
        watch, end = Stopwatch(), time.perf_counter() + self._seconds
        await asyncio.gather(*(self._calls(about, end) for _ in range(self._callers)))
        return watch.figures(self._done, "calls/s")

    async def _calls(self, about: Iterator[Any], end: float) -> None:
        while time.perf_counter() < end:
            if await self._call(next(about)) is None:
                raise RuntimeError("A stored token was not found.")
            self._done += 1
