"""A connection to SQLite, whose thread never outlives the event loop that it reports to."""

from __future__ import annotations

import asyncio
import sqlite3
from threading import Thread
from typing import Any

import aiosqlite

__all__ = ["use"]


def use(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Let SQLAlchemy open connections with ``_open`` (its event ``do_connect``)."""
    parameters.setdefault("async_creator_fn", _open)


class _Connection(aiosqlite.Connection):
    """Remembers the end of its thread, which aiosqlite does not wait for when a connection cannot be opened."""

    stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        self.stopped = super().stop()
        return self.stopped


async def _open(database: str, **parameters: Any) -> aiosqlite.Connection:
    connection = _Connection(lambda: sqlite3.connect(database, **parameters), iter_chunk_size=64)
    # Before version 0.22 a connection was a thread, now it has one. The end of a process does not wait for it.
    thread = connection if isinstance(connection, Thread) else connection._thread  # noqa: SLF001
    thread.daemon = True
    try:
        return await connection
    except BaseException:
        # The thread reports its end to this event loop, and would print a traceback if that were closed meanwhile.
        if connection.stopped is not None:
            await connection.stopped
        raise
