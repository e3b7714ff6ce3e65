"""N callers, one call: tasks share a task, processes share a lease; and the task that runs to its end.

It lies beside the lease that processes share, and beside the statements, which are such tasks too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from zaikio_oauth.errors import HubUnavailableError
from zaikio_oauth.retries_and_waits import FIRST_POLL, LONGEST_POLL

__all__ = ["ProcessLease", "SingleFlight", "once_across_processes"]

T = TypeVar("T")


class _UninterruptedTask(asyncio.Task[T]):
    """A task that ``asyncio.run``, which cancels every task once the script's last line is done, waits for instead.

    While the loop runs it can be cancelled like any other, because time-outs inside it work by that. What it does must
    end by itself.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Refuse if the loop has stopped, as it has when it is about to be closed."""
        return self.get_loop().is_running() and super().cancel(msg)


class SingleFlight:
    """Calls under way in one event loop. Callers who ask for the same key share one of them.

    Each call is a task of its own: a caller that is cancelled neither stops it nor loses its result for the others,
    and the end of the event loop waits for it.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of the call under way for this key, or of a new one."""
        flight: asyncio.Task[T] | None = self._flights.get(key)
        if flight is None:
            flight = _UninterruptedTask(call())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    async def run_to_end(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of a call that nobody shares and that ends although its caller is cancelled."""
        return await self.run(object(), call)

    async def drain(self) -> None:
        """Wait for all calls under way, so that a shutdown loses no result."""
        while self._flights:
            await asyncio.wait(list(self._flights.values()))

    def _land(self, key: Hashable, flight: asyncio.Task[Any]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            # Marks an exception as retrieved: every caller may have gone away meanwhile.
            flight.exception()


class ProcessLease(Protocol):
    """The exclusive right to do one thing for a while; see ``store/leases.py``."""

    async def acquire(self) -> bool:
        """Acquire the lease if it is free, without waiting; return True if that succeeded."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Renew the lease while the body runs, then release it."""


async def once_across_processes(
    lease: ProcessLease,
    *,
    result: Callable[[], Awaitable[T | None]],
    call: Callable[[], Awaitable[T]],
    deadline: float,
) -> T:
    """Return the ``result`` that another process has reached, or that of ``call``, which is made under the lease.

    No database connection is held while waiting. Raises HubUnavailableError after ``deadline`` seconds.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    pause = FIRST_POLL
    while not await lease.acquire():
        if (reached := await result()) is not None:
            return reached
        if clock() - started > deadline:
            raise HubUnavailableError("another process is still asking it", elapsed=clock() - started)
        # Jitter keeps waiting processes from polling in step.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(pause * 1.5, LONGEST_POLL)
    async with lease.held():
        # Another process may have finished between the last look and the lease.
        if (reached := await result()) is not None:
            return reached
        return await call()
