"""Runs statements, those that write to their end although their caller is cancelled, and names what is wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Executable, PoolProxiedConnection, Row, Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.dml import UpdateBase

from zaikio_oauth.settings.retries_and_waits import DATABASE_DEADLINE, Deadline, Due
from zaikio_oauth.store.database_errors import TOO_SLOW, Fault, fault_of
from zaikio_oauth.store.drivers import Driver, driver_of
from zaikio_oauth.store.idle_connections import IdleConnections
from zaikio_oauth.store.native_query import NativeQuery
from zaikio_oauth.store.single_flight import SingleFlight

__all__ = ["Bound", "Outcome", "Statement", "Statements"]

T = TypeVar("T")

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave: its rows, and how many there are or how many it changed."""

    rows: Sequence[Row[Any]]
    rowcount: int

    @property
    def first(self) -> Row[Any] | None:
        """The first row, or None."""
        return self.rows[0] if self.rows else None


class Bound(NamedTuple):
    """A statement that was built once, and the values of its parameters in one call.

    ``writes`` is said of a SELECT with a part that does, which is not obvious.
    """

    statement: Executable
    values: Mapping[str, Any]
    writes: bool = False


Statement = Executable | Bound

Query = tuple[NativeQuery, Mapping[str, Any]]


class Statements:
    """Runs each call's statements on one connection, in autocommit or in one transaction, as a task of its own.

    A task that is cancelled inside a database driver can leave a statement half done: on SQLite an UPDATE whose rows
    nobody fetched keeps the write lock, and everybody else waits for it. So callers may be cancelled but statements
    are not, not even by the end of the event loop.

    What was built once is sent to the driver itself, because SQLAlchemy's way to it costs more than the statement; not
    if somebody watches that way, by its log or its events. A single SELECT leaves nothing half done, so that the
    caller's own task sends it if a connection is idle; a connection to PostgreSQL in whose query a caller was cancelled
    is closed. ``direct`` says that SQLAlchemy's pool does not wait before it gives out an idle connection.

    A caller waits at most ``deadline`` seconds, or for ever if it is None. Then the connection to PostgreSQL is cut,
    because over a network that swallows everything nothing else ends the statement; SQLite ends it by its own
    time-out, in its thread.
    """

    def __init__(
        self, engine: AsyncEngine, *, deadline: float | None, in_transactions: bool = False, direct: bool = False
    ) -> None:
        self._engine = engine
        self._deadline = deadline
        self._in_transactions = in_transactions
        self._running = SingleFlight()
        self._driver = None if in_transactions else driver_of(engine)
        self._native: WeakKeyDictionary[Executable, dict[frozenset[str], NativeQuery | None]] = WeakKeyDictionary()
        self._connections = IdleConnections(engine, direct=direct and self._driver is not None)

    async def run(self, *statements: Statement) -> Outcome:
        """Run the statements in order and return the outcome of the last one; raises StoreUnavailableError."""
        return (await self.run_all(*statements))[-1]

    async def run_all(self, *statements: Statement) -> list[Outcome]:
        """Run the statements in order and return what each has given; raises StoreUnavailableError."""
        started = time.monotonic()
        if len(statements) == 1 and _only_reads(statements[0]):
            found = await self._read(statements)
            if isinstance(found, list):
                return found
            if found is not None and not found.stale:
                raise found.error(time.monotonic() - started)
        with suppress(TimeoutError):
            return await self._running.run_within(self._deadline, lambda: self._run(statements), "A statement")
        raise TOO_SLOW.error(time.monotonic() - started)

    async def run_to_end(self, step: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        """Return the result of a step that sends statements of its own, which its caller cannot leave half done."""
        return await self._running.run_to_end(step, name=name)

    async def drain(self) -> None:
        """Wait for all statements under way, within reason."""
        with suppress(TimeoutError):
            async with Deadline(DATABASE_DEADLINE):
                await self._running.drain()
                return
        log.error(
            "The database is closed although a statement has not ended within %.0f s.",
            DATABASE_DEADLINE,
            extra={"zaikio_event": "store.closed_early"},
        )

    # --- the driver itself --------------------------------------------------------------------------------

    async def _read(self, statements: Sequence[Statement]) -> list[Outcome] | Fault | None:
        """Send a single SELECT in the caller's own task, if that is possible."""
        if self._driver is None or self._driver.in_time:
            return await self._send(statements, connecting=False)
        with suppress(TimeoutError):
            async with Deadline(self._deadline):
                return await self._send(statements, connecting=False)
        return TOO_SLOW

    async def _send(
        self, statements: Sequence[Statement], *, connecting: bool, cut_after: float | None = None
    ) -> list[Outcome] | Fault | None:
        """Return what each has given, or None if this is not possible now: not without ``connecting``, for example."""
        queries = self._native_queries(statements)
        if self._driver is None or queries is None:
            return None
        try:
            pooled = await self._pooled(self._driver, connecting=connecting)
        except TimeoutError:
            return fault_of(ConnectionError())
        except Exception as error:
            return fault_of(error)
        return None if pooled is None else await self._send_on(pooled, self._driver, queries, cut_after)

    async def _pooled(self, driver: Driver, *, connecting: bool) -> PoolProxiedConnection | None:
        pooled = await self._connections.take()
        if pooled is None and connecting:
            pooled = await self._engine.raw_connection()
        if pooled is None or driver.has(pooled.driver_connection):
            return pooled
        self._give_back(pooled, driver, usable=True)
        return None

    async def _send_on(
        self, pooled: PoolProxiedConnection, driver: Driver, queries: Sequence[Query], cut_after: float | None
    ) -> list[Outcome] | Fault:
        connection: Any = pooled.driver_connection
        cut = self._cut_after(cut_after, connection)
        usable = False
        try:
            outcomes = [Outcome(*await driver.run(connection, query, values)) for query, values in queries]
            usable = True
        except Exception as error:
            fault = fault_of(error)
            usable = not fault.stale and fault is not TOO_SLOW
            return fault
        except asyncio.CancelledError:
            usable = driver.left_whole
            raise
        finally:
            if cut is not None:
                cut.cancel()
            self._give_back(pooled, driver, usable=usable)
        return outcomes

    def _give_back(self, pooled: PoolProxiedConnection, driver: Driver, *, usable: bool) -> None:
        if usable and self._connections.give_back(pooled):
            return
        connection = pooled.driver_connection
        pooled.detach()
        self._connections.gave_back()
        # The server has to be asked to cancel the query, which may wait for a lock, and nobody waits for that.
        self._running.begin(object(), partial(driver.close, connection), name="The end of a connection")

    def _native_queries(self, statements: Sequence[Statement]) -> list[Query] | None:
        if _is_watched(self._engine.sync_engine):
            return None
        queries = []
        for bound in statements:
            if not isinstance(bound, Bound) or not isinstance(bound.statement, Select | UpdateBase):
                return None
            kinds = self._native.setdefault(bound.statement, {})
            names = frozenset(bound.values)
            if names not in kinds:
                kinds[names] = NativeQuery.of(bound.statement, names, self._engine.dialect)
            query = kinds[names]
            if query is None:
                return None
            queries.append((query, bound.values))
        return queries

    # --- SQLAlchemy ---------------------------------------------------------------------------------------

    async def _run(self, statements: Sequence[Statement]) -> list[Outcome]:
        started = time.monotonic()
        outcomes = await self._send(statements, connecting=True, cut_after=self._deadline)
        if outcomes is None or (isinstance(outcomes, Fault) and outcomes.stale):
            outcomes = await self._try(statements)
        if isinstance(outcomes, Fault) and outcomes.stale:
            # The connection was idle when the server or the network went away, or it was opened when the database was
            # read-only. Trying again costs nothing otherwise; a ping before each use would cost every look-up a round
            # trip.
            outcomes = await self._try(statements)
        if isinstance(outcomes, Fault):
            # Not inside "except", so that no traceback and no report of errors contains what the driver said.
            raise outcomes.error(time.monotonic() - started)
        return outcomes

    async def _try(self, statements: Sequence[Statement]) -> list[Outcome] | Fault:
        try:
            return await self._run_once(statements)
        # Everything, because nothing of ours runs in there: SQLAlchemy's errors, the drivers', the network's.
        except Exception as error:
            return fault_of(error)

    async def _run_once(self, statements: Sequence[Statement]) -> list[Outcome]:
        outcomes = []
        # Not "async with": that returns the connection in a task of its own, which the end of the loop would cancel.
        connection = await self._connect()
        pooled = connection.sync_connection.connection if connection.sync_connection else None
        cut = self._cut_after(self._deadline, pooled and pooled.driver_connection)
        try:
            for statement in statements:
                built, values = statement[:2] if isinstance(statement, Bound) else (statement, None)
                result = await connection.execute(built, values)
                outcomes.append(_of_rows(result.all()) if result.returns_rows else Outcome((), result.rowcount))
            if self._in_transactions:
                await connection.commit()
        finally:
            await connection.close()
            self._connections.gave_back()
            if cut is not None:
                cut.cancel()
        return outcomes

    async def _connect(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except TimeoutError:
            raise ConnectionError from None

    def _cut_after(self, seconds: float | None, driver: Any) -> Due | None:
        # asyncpg has it, aiosqlite has not: it aborts the socket, and what waits for an answer fails.
        terminate = getattr(driver, "terminate", None)
        return None if seconds is None or terminate is None else Due(seconds, terminate)


def _only_reads(statement: Statement) -> bool:
    return isinstance(statement, Bound) and isinstance(statement.statement, Select) and not statement.writes


def _of_rows(rows: Sequence[Row[Any]]) -> Outcome:
    return Outcome(rows, len(rows))


def _is_watched(engine: Engine) -> bool:
    listeners = engine.dispatch
    return bool(
        engine.logger.isEnabledFor(logging.INFO)
        or listeners.before_cursor_execute
        or listeners.after_cursor_execute
        or listeners.before_execute
        or listeners.after_execute
    )
