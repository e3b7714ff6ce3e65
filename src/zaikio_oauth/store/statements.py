"""Runs statements to their end, also when their caller is cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.store.single_flight import SingleFlight

__all__ = ["Outcome", "Statements"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave: its rows, or how many rows it changed."""

    rows: Sequence[Row[Any]]
    rowcount: int

    @property
    def first(self) -> Row[Any] | None:
        """The first row, or None."""
        return self.rows[0] if self.rows else None


class Statements:
    """Runs each call's statements on one connection, in autocommit or in one transaction, as a task of its own.

    A task that is cancelled inside a database driver can leave a statement half done: on SQLite an UPDATE whose rows
    nobody fetched keeps the write lock, and everybody else waits for it. So callers may be cancelled but statements
    are not, not even by the end of the event loop.
    """

    def __init__(self, engine: AsyncEngine, *, in_transactions: bool = False) -> None:
        self._engine = engine
        self._in_transactions = in_transactions
        self._running = SingleFlight()

    async def run(self, *statements: Executable) -> Outcome:
        """Run the statements in order and return the outcome of the last one."""
        return await self._running.run_to_end(lambda: self._run(statements))

    async def drain(self) -> None:
        """Wait for all statements under way."""
        await self._running.drain()

    async def _run(self, statements: Sequence[Executable]) -> Outcome:
        try:
            return await self._run_once(statements)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The connection was idle when the server or the network went away. Trying again costs nothing otherwise;
        # a ping before each use would cost every look-up a round trip.
        return await self._run_once(statements)

    async def _run_once(self, statements: Sequence[Executable]) -> Outcome:
        outcome = Outcome((), 0)
        # Not "async with": that returns the connection in a task of its own, which the end of the loop would cancel.
        connection = await self._engine.connect()
        try:
            for statement in statements:
                result = await connection.execute(statement)
                outcome = Outcome(result.all(), 0) if result.returns_rows else Outcome((), result.rowcount)
            if self._in_transactions:
                await connection.commit()
        finally:
            await connection.close()
        return outcome
