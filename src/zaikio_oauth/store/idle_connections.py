"""The idle connections of a pool, for those who come first, without SQLAlchemy's change of greenlets."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any, Final

import sqlalchemy
from sqlalchemy import PoolProxiedConnection, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

__all__ = ["WAITS_AT_LIMIT", "IdleConnections"]

WAITS_AT_LIMIT: Final = tuple(int(number) for number in re.findall(r"\d+", sqlalchemy.__version__)[:3]) < (2, 1, 5)
"""True if SQLAlchemy waits in the queue of a pool at its limit even for what is idle, which takes a greenlet."""

LONGEST_WAIT = 0.01
"""The seconds after which one who waits has SQLAlchemy open another connection; that takes about as long."""


class _HasToConnectError(Exception):
    """The pool has no connection that is open."""


class IdleConnections:
    """Takes idle connections from a pool and gives them back.

    SQLAlchemy's way to them takes a greenlet, because it may have to connect or to wait; that costs a third of a
    look-up. While all connections are in use, a short wait for one is cheaper than opening another.
    """

    def __init__(self, engine: AsyncEngine, *, direct: bool) -> None:
        """``direct``: the pool does not wait before it gives out an idle connection."""
        self._engine = engine
        self._direct = direct
        self._taking = False
        self._waiting: deque[asyncio.Future[bool]] = deque()
        # How many idle connections are for those who were woken and have not gone on yet.
        self._promised = 0
        if direct:
            event.listen(engine.sync_engine, "do_connect", self._before_connecting, insert=True)

    async def take(self) -> PoolProxiedConnection | None:
        """Return a connection that is open, or None if SQLAlchemy has to find one."""
        pool = self._engine.pool
        # Whoever listens may use the connection, for which a greenlet is needed.
        if not self._direct or not isinstance(pool, QueuePool) or pool.dispatch.checkout:
            return None
        if pool.checkedin() <= self._promised and not (pool.overflow() >= 0 and await self._promise()):
            return None
        return self._taken(pool)

    def give_back(self, pooled: PoolProxiedConnection) -> bool:
        """Return it to the pool; False if that would close it, which would have to be waited for."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool) or (pool.overflow() > 0 and pool.checkedin() >= pool.size()):
            return False
        pooled.close()
        self.gave_back()
        return True

    def gave_back(self) -> None:
        """Wake the one who has waited longest, because a connection came back or was closed."""
        pool = self._engine.pool
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                idle = isinstance(pool, QueuePool) and pool.checkedin() > self._promised
                self._promised += idle
                waiter.set_result(idle)
                return

    async def _promise(self) -> bool:
        """Wait until an idle connection is promised to the caller; False if that takes too long."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(LONGEST_WAIT, _give_up, waiter)
        promised = False
        try:
            promised = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():
                self._promised -= 1
                self.gave_back()
            raise
        finally:
            timer.cancel()
        self._promised -= promised
        return promised

    def _taken(self, pool: QueuePool) -> PoolProxiedConnection | None:
        # Its limit is not public, but a pool that has opened no more than its size is below it.
        if pool.checkedin() == 0 or (WAITS_AT_LIMIT and pool.overflow() > 0):
            return None
        self._taking = True
        try:
            return self._engine.sync_engine.raw_connection()
        except _HasToConnectError:
            return None
        finally:
            self._taking = False

    def _before_connecting(self, *_: Any) -> None:
        # Before the driver's coroutine is made, which nobody would await.
        if self._taking:
            raise _HasToConnectError


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)
