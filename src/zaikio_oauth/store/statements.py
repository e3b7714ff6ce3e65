"""Runs statements to their end, whoever goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.store.enduring_task import EnduringTask

__all__ = ["Outcome", "Statements"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave: its rows, or how many it changed."""

    rows: Sequence[Row[Any]]
    rowcount: int

    @property
    def first(self) -> Row[Any] | None:
        """The first row, if there is one."""
        return self.rows[0] if self.rows else None


class Statements:
    """Runs each call's statements on one connection, in autocommit or one transaction, as a task of its own.

    A task that is cancelled inside a database driver can leave a statement half done: on SQLite an UPDATE whose
    rows nobody fetched keeps the write lock, and everybody else waits for it. So callers may be cancelled,
    statements are not, not even by the end of the event loop.
    """

    def __init__(self, engine: AsyncEngine, *, in_transactions: bool = False) -> None:
        self._engine = engine
        self._in_transactions = in_transactions
        self._running: set[asyncio.Task[Outcome]] = set()

    async def run(self, *statements: Executable) -> Outcome:
        """The outcome of the last one."""
        running = EnduringTask(self._run(statements))
        self._running.add(running)
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    async def drain(self) -> None:
        """Wait for what is under way."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, statements: Sequence[Executable]) -> Outcome:
        try:
            return await self._run_once(statements)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # A connection that was idle when the server or the network went away. Trying again costs nothing
        # otherwise; asking each connection first whether it lives would cost every look-up a round trip.
        return await self._run_once(statements)

    async def _run_once(self, statements: Sequence[Executable]) -> Outcome:
        outcome = Outcome((), 0)
        # Not "async with": that gives the connection back in a task of its own, which the loop's end would cancel.
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

    def _done(self, running: asyncio.Task[Outcome]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            # Marks a failure as seen: the caller may have gone away.
            running.exception()
