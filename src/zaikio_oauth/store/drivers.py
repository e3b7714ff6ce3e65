"""The drivers' own ways to run a statement: one step each, where SQLAlchemy takes several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from zaikio_oauth.settings.retries_and_waits import CONNECTION_CLOSE_TIMEOUT
from zaikio_oauth.store.native_query import NativeQuery

__all__ = ["Driver", "driver_of"]


class Driver(Protocol):
    """Runs statements on the driver's connections; raises the driver's errors."""

    left_whole: bool
    """True if a connection can be used again although the caller was cancelled while it ran a statement."""

    in_time: bool
    """True if the driver gives up a statement that takes too long, wherever it waits."""

    def has(self, connection: Any) -> bool:
        """Return True if this is a connection of this driver; an engine can be told to make others."""
        ...

    async def run(self, connection: Any, query: NativeQuery, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        """Run a statement; return its rows, and how many there are or how many it changed."""
        ...

    async def close(self, connection: Any) -> None:
        """Close a connection in an orderly way, whatever its state."""
        ...


def driver_of(engine: AsyncEngine) -> Driver | None:
    """Return what runs the statements of this engine, or None if only SQLAlchemy can."""
    # What other pools have is nothing to take from and to give back to: connections for one use, or the only one.
    if not isinstance(engine.pool, QueuePool):
        return None
    if engine.dialect.driver == "asyncpg":
        return _Asyncpg()
    if engine.dialect.driver == "aiosqlite":
        # Only here, because an app on PostgreSQL never needs it.
        from zaikio_oauth.store.sqlite_connection import Connection  # noqa: PLC0415

        return _Aiosqlite(Connection)
    return None


class _Asyncpg:
    left_whole = False
    in_time = True

    def has(self, connection: Any) -> bool:
        return hasattr(connection, "fetch")

    async def run(self, connection: Any, query: NativeQuery, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        if query.returns_rows:
            rows = query.rows(await connection.fetch(query.text, *query.arguments(values)))
            return rows, len(rows)
        # The server says such as "UPDATE 1".
        status = await connection.execute(query.text, *query.arguments(values))
        return (), int(status.rpartition(" ")[2])

    async def close(self, connection: Any) -> None:
        with suppress(Exception):
            await connection.close(timeout=CONNECTION_CLOSE_TIMEOUT)


class _Aiosqlite:
    # The connection's thread ends a statement that it has begun, and then takes the next one.
    left_whole = True
    # It gives up waiting for a lock, but not for a disk.
    in_time = False

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind

    def has(self, connection: Any) -> bool:
        return isinstance(connection, self._kind)

    async def run(self, connection: Any, query: NativeQuery, values: Mapping[str, Any]) -> tuple[Sequence[Any], int]:
        rows, changed = await connection.run_statement(query.text, query.arguments(values))
        return (query.rows(rows), len(rows)) if query.returns_rows else ((), changed)

    async def close(self, connection: Any) -> None:
        with suppress(Exception):
            await connection.close()
