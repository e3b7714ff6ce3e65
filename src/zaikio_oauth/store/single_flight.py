"""N callers, one call: tasks share a task, processes share a lease; each caller waits as long as it has patience.

It lies beside the lease that processes share, and beside the statements, which are such tasks too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from zaikio_oauth.errors import HubUnavailableError, StoreUnavailableError, ZaikioOAuthError
from zaikio_oauth.settings.retries_and_waits import FIRST_POLL, HUB_DEADLINE, LONGEST_POLL, Deadline, Due

__all__ = [
    "Patience",
    "ProcessLease",
    "SingleFlight",
    "UninterruptedTask",
    "at_the_database",
    "loop_is_ending",
    "once_across_processes",
]

T = TypeVar("T")

log = logging.getLogger("zaikio_oauth")


class Patience:
    """How many seconds one caller waits in all, however many things it waits for one after the other.

    What the caller waits for goes on when its patience ends, and so does what others wait for.
    """

    __slots__ = ("_clock", "_started", "seconds")

    def __init__(self, seconds: float = HUB_DEADLINE) -> None:
        self.seconds: float = seconds
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()

    @property
    def elapsed(self) -> float:
        """How many seconds the caller has waited."""
        return self._clock() - self._started

    @property
    def left(self) -> float:
        """How many seconds it may still wait; 0 at the end."""
        return max(0.0, self.seconds - self.elapsed)

    async def wait(self, task: asyncio.Task[Any]) -> bool:
        """Wait for the task, which nothing here cancels; return False if patience ends first."""
        with suppress(TimeoutError):
            async with Deadline(self.left):
                await asyncio.wait([task])
        return task.done()

    async def read(self, query: Callable[[], Awaitable[T]]) -> T:
        """Return what ``query`` reads from the database; raises StoreUnavailableError when patience ends."""
        with suppress(TimeoutError):
            async with Deadline(self.left):
                return await query()
        raise StoreUnavailableError("it has not answered in time", elapsed=self.elapsed)


class UninterruptedTask(asyncio.Task[T]):
    """A task that ``asyncio.run``, which cancels every task once the script's last line is done, waits for instead.

    While the loop runs it can be cancelled like any other, because time-outs inside it work by that. What it does must
    end by itself.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Refuse if the loop has stopped, as it has when it is about to be closed."""
        if self.get_loop().is_running():
            return super().cancel(msg)
        _ending.add(self.get_loop())
        return False


_ending: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def loop_is_ending() -> bool:
    """Return True if the running event loop only goes on for tasks that have refused to be cancelled."""
    return asyncio.get_running_loop() in _ending


class _DatabaseWaits:
    """Since when a call waits for the database."""

    # Not part of the flight: timers keep the contexts in which they were started until they are due, also cancelled
    # ones, and would keep the flight's result as long.
    __slots__ = ("_clock", "_since")

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._since: list[float] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._since.append(self._clock())
        try:
            yield
        finally:
            self._since.pop()

    def longer_than(self, seconds: float) -> bool:
        return bool(self._since) and self._clock() - self._since[0] >= seconds


class _Flight(Generic[T]):
    """One call under way: its task, who waits for it, and since when it waits for the database."""

    __slots__ = ("_database_waits", "_ended", "_forget", "_heard", "_waiting", "task")

    def __init__(
        self, call: Callable[[], Coroutine[Any, Any, T]], name: str | None, forget: Callable[[], object]
    ) -> None:
        self._forget = forget
        self._waiting: set[asyncio.Future[None]] = set()
        self._ended = self._heard = False
        self._database_waits = _DatabaseWaits()
        self.task: asyncio.Task[T] = UninterruptedTask(self._fly(call), name=name or "A call")
        self.task.add_done_callback(self._land)

    async def _fly(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        _flying.set(self._database_waits)
        try:
            return await call()
        finally:
            # Here, because callbacks of a task run a round of the event loop later, and with a shield two. Those who
            # wait wake up in the next round, when the task is done.
            self._end()

    async def done_within(self, seconds: float | None) -> bool:
        """Wait for the task, which nothing here cancels; return False if it is not done in so many seconds."""
        waiter = self.task.get_loop().create_future()
        self._waiting.add(waiter)
        due = None if seconds is None else Due(seconds, lambda: _wake(waiter))
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
            if due is not None:
                due.cancel()
        return self.task.done()

    def _end(self) -> None:
        if not self._ended:
            self._ended, self._heard = True, bool(self._waiting)
            self._forget()
            for waiter in self._waiting:
                _wake(waiter)

    def _land(self, task: asyncio.Task[T]) -> None:
        # For one that was cancelled before it began.
        self._end()
        if task.cancelled():
            return
        # Marks an exception as retrieved: every caller may have gone away meanwhile.
        error = task.exception()
        if error is not None and not self._heard:
            # Only our own messages are known to hold no secret.
            reason = error if isinstance(error, ZaikioOAuthError) else type(error).__name__
            log.warning(
                "%s has failed, and nobody was waiting for it: %s",
                task.get_name(),
                reason,
                extra={"zaikio_event": "background.call_failed"},
            )

    def not_yet(self, elapsed: float) -> ZaikioOAuthError:
        """Return the error of a caller whose patience has ended after so many seconds."""
        # Those who wait for another process look into the database now and then, which is not what takes so long.
        if self._database_waits.longer_than(elapsed / 2):
            return StoreUnavailableError("it has not answered in time", elapsed=elapsed)
        return HubUnavailableError("it has not answered in time", elapsed=elapsed)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


_flying: ContextVar[_DatabaseWaits | None] = ContextVar("zaikio_oauth_flight", default=None)


def at_the_database() -> AbstractContextManager[None]:
    """Say that the call under way waits for the database while the body runs, not for the Hub."""
    waits = _flying.get()
    return waits.waiting() if waits else nullcontext()


class SingleFlight:
    """Calls under way in one event loop. Callers who ask for the same key share one of them.

    Each call is a task of its own: a caller that is cancelled, or whose patience ends, neither stops it nor loses its
    result for the others, and the end of the event loop waits for it.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[Any]] = {}

    async def run(
        self,
        key: Hashable,
        call: Callable[[], Coroutine[Any, Any, T]],
        *,
        patience: Patience | None = None,
        name: str | None = None,
    ) -> T:
        """Return the result of the call under way for this key, or of a new one, which the log calls ``name``.

        When ``patience`` ends, raises StoreUnavailableError if the call has mostly waited for the database, else
        HubUnavailableError.
        """
        flight: _Flight[T] = self._joined(key, call, name)
        if not await flight.done_within(None if patience is None else patience.left) and patience is not None:
            raise flight.not_yet(patience.elapsed)
        return flight.task.result()

    async def run_to_end(
        self,
        call: Callable[[], Coroutine[Any, Any, T]],
        *,
        patience: Patience | None = None,
        name: str | None = None,
    ) -> T:
        """Return the result of a call that nobody shares and that ends although its caller is gone."""
        return await self.run(object(), call, patience=patience, name=name)

    async def run_within(self, seconds: float | None, call: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        """The same; raises TimeoutError if it takes longer than so many seconds, which None does not limit."""
        flight: _Flight[T] = self._joined(object(), call, name)
        if not await flight.done_within(seconds):
            raise TimeoutError
        return flight.task.result()

    def begin(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, object]], *, name: str) -> None:
        """Begin the call for this key, unless it is under way, without waiting for it."""
        self._joined(key, call, name)

    async def drain(self) -> None:
        """Wait for all calls under way, so that a shutdown loses no result."""
        while self._flights:
            await asyncio.wait([flight.task for flight in self._flights.values()])

    def _joined(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, T]], name: str | None) -> _Flight[T]:
        flight: _Flight[T] | None = self._flights.get(key)
        if flight is None:
            self._flights[key] = flight = _Flight(call, name, lambda: self._flights.pop(key))
        return flight


class ProcessLease(Protocol):
    """The exclusive right to do one thing for a while; see ``store/leases.py``."""

    async def acquire(self) -> bool:
        """Acquire the lease if it is free, without waiting; return True if that succeeded."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """Renew the lease while the body runs, then release it."""
        ...


async def once_across_processes(
    lease: ProcessLease,
    *,
    result: Callable[[], Awaitable[T | None]],
    call: Callable[[], Awaitable[T]],
    deadline: float,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """Return the ``result`` that another process has reached, or that of ``call``, which is made under the lease.

    ``pause`` waits for so many seconds, or until there may be a result.
    No database connection is held while waiting. Raises HubUnavailableError after ``deadline`` seconds.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    longest = FIRST_POLL
    while True:
        with at_the_database():
            if await lease.acquire():
                break
            if (reached := await result()) is not None:
                return reached
        if clock() - started > deadline:
            raise HubUnavailableError("another process is still asking it", elapsed=clock() - started)
        # Jitter keeps waiting processes from polling in step.
        await pause(longest * random.uniform(0.5, 1.0))  # noqa: S311
        longest = min(longest * 1.5, LONGEST_POLL)
    async with lease.held():
        # Another process may have finished between the last look and the lease.
        with at_the_database():
            reached = await result()
        if reached is not None:
            return reached
        return await call()
