"""N callers, one call: tasks share a future; processes share the lease that they are given."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from zaikio_oauth.errors import HubUnavailableError
from zaikio_oauth.store.enduring_task import EnduringTask

__all__ = ["DEADLINE", "ProcessLease", "SingleFlight", "once_across_processes"]

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds after which a caller gives up waiting for the Hub, or for another process that asks it."""

FIRST_POLL, LONGEST_POLL = 0.02, 0.25
"""Seconds between two looks of a waiting process at what the other one has achieved."""


class ProcessLease(Protocol):
    """The short right to do one thing; see ``store/lease.py``."""

    async def acquire(self) -> bool:
        """Take it if it is free; does not wait."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Keep it while the body runs, then give it back."""


class SingleFlight:
    """Shares one running call among the tasks of an event loop that ask for the same key."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the call under way for this key, or of a new one.

        The call is a task of its own: a caller that is cancelled neither stops it nor loses its result
        for the others, and the end of the event loop waits for it.
        """
        flight: asyncio.Task[T] | None = self._flights.get(key)
        if flight is None:
            flight = EnduringTask(call())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    async def drain(self) -> None:
        """Wait for what is in the air, so that a shutdown loses no result."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    def _land(self, key: Hashable, flight: asyncio.Task[Any]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            # Marks a failure as seen: every caller may have gone away meanwhile.
            flight.exception()


async def once_across_processes(
    lease: ProcessLease,
    *,
    result: Callable[[], Awaitable[T | None]],
    call: Callable[[], Awaitable[T]],
    deadline: float,
) -> T:
    """The ``result`` that another process has reached, or that of ``call``, made under the lease.

    No database connection is held while waiting. Raises HubUnavailableError after ``deadline`` seconds.
    """
    started = time.monotonic()
    pause = FIRST_POLL
    while not await lease.acquire():
        if (reached := await result()) is not None:
            return reached
        if time.monotonic() - started > deadline:
            raise HubUnavailableError("another process is still asking it", elapsed=time.monotonic() - started)
        # Jitter, so that waiters do not look in step.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(pause * 1.5, LONGEST_POLL)
    async with lease.held():
        # Between the last look and the lease another process may have finished.
        if (reached := await result()) is not None:
            return reached
        return await call()
