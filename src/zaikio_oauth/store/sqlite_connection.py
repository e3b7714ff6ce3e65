"""A connection to SQLite, whose thread ends with the event loop that it reports to, and which a fork ends."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any
from urllib.parse import quote

import aiosqlite

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings.retries_and_waits import FIRST_POLL, STATEMENT_TIMEOUT

__all__ = ["Connection", "Reader", "prepare", "use"]


def use(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Let SQLAlchemy open connections with ``_open`` (its event ``do_connect``)."""
    parameters.setdefault("async_creator_fn", _open)


def prepare(connection: Any, _record: Any) -> None:
    """Prepare a connection that was opened (SQLAlchemy's event ``connect``)."""
    connection.run_async(_use_write_ahead_log)


class Connection(aiosqlite.Connection):
    """Remembers what aiosqlite does not tell: the connection itself, whether it is in use, the end of its thread.

    ``run_statement`` takes one change of threads, for which SQLAlchemy needs four. It is not ``run``, because before
    aiosqlite 0.22 a connection is a thread.
    """

    handle: sqlite3.Connection | None = None
    calls = 0
    stopped: asyncio.Future[Any] | None = None

    async def run_statement(self, text: str, arguments: Sequence[Any]) -> tuple[list[Any], int]:
        """Run a statement to its end; return its rows and how many it changed; raises sqlite3.Error."""
        result: tuple[list[Any], int] = await self._execute(self._run_statement, text, arguments)
        return result

    def _run_statement(self, text: str, arguments: Sequence[Any]) -> tuple[list[Any], int]:
        cursor = self._conn.execute(text, arguments)
        return cursor.fetchall(), cursor.rowcount

    async def _execute(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        try:
            return await super()._execute(*arguments, **options)  # type: ignore[no-untyped-call]
        finally:
            self.calls -= 1

    def stop(self) -> asyncio.Future[Any] | None:
        # SQLAlchemy stops a connection whose close was cancelled, and then the close stops it too. The thread reports
        # its end once; aiosqlite would wait for ever for a second report.
        if self.stopped is None:
            self.stopped = super().stop()
        # One who waits may be cancelled, and the other still has to hear of it.
        return None if self.stopped is None else asyncio.shield(self.stopped)


class Reader:
    """A connection of the event loop's own thread, for what SQLite answers from memory at once."""

    # Nobody else's thread uses it, so that a fork never finds it in use.
    calls = 0

    def __init__(self, path: str) -> None:
        self.handle: sqlite3.Connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
        _process.opened.add(self)

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has written; raises sqlite3.Error."""
        version: int = self.handle.execute("PRAGMA data_version").fetchone()[0]
        return version

    def close(self) -> None:
        """Close the connection."""
        self.handle.close()


class _Process:
    """What this process has open. Its child has the same in memory, but not the locks on the files.

    SQLite keeps one list of locks per file and process. A child that inherits it believes that it holds what only its
    parent holds, so the parent may delete the write-ahead log into which the child writes, with all that is in it. The
    child therefore closes its copies before it opens anything; the locks of the parent are not touched by that
    (https://sqlite.org/howtocorrupt.html, section 2.6 and 2.2).
    """

    def __init__(self) -> None:
        self.opened: weakref.WeakSet[Connection | Reader] = weakref.WeakSet()
        self.forked_in_use = False

    def after_fork(self) -> None:
        for connection in list(self.opened):
            if connection.calls:
                # A thread that does not exist here may hold its lock for ever.
                self.forked_in_use = True
            elif connection.handle is not None:
                connection.handle.close()
        self.opened.clear()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.after_fork)


def _ending_with(
    loop: asyncio.AbstractEventLoop, run: Callable[[], None], connection: Connection
) -> Callable[[], None]:
    """Return ``run`` without the traceback of a thread that reports to an event loop which is closed by then.

    Whatever ends the thread, the connection is closed; aiosqlite forgets one whose opening was cancelled.
    """

    def quietly() -> None:
        try:
            run()
        except RuntimeError:
            if not loop.is_closed():
                raise
        finally:
            if connection.handle is not None:
                connection.handle.close()

    return quietly


async def _open(database: str, **parameters: Any) -> aiosqlite.Connection:
    if _process.forked_in_use:
        raise ConfigurationError(
            "This process was forked while its parent was using SQLite; fork before the first call, or use PostgreSQL."
        )

    def connect() -> sqlite3.Connection:
        # Another thread closes it after a fork; otherwise only one uses it.
        parameters["check_same_thread"] = False
        handle: sqlite3.Connection = sqlite3.connect(database, **parameters)
        connection.handle = handle
        return handle

    connection = Connection(connect, iter_chunk_size=64)
    _process.opened.add(connection)
    # Before version 0.22 a connection was a thread, now it has one. The end of a process does not wait for it.
    thread = connection if isinstance(connection, Thread) else connection._thread  # noqa: SLF001
    thread.daemon = True
    thread.run = _ending_with(asyncio.get_running_loop(), thread.run, connection)  # type: ignore[method-assign]
    try:
        return await connection
    except BaseException:
        # The thread reports its end to this event loop, and would print a traceback if that were closed meanwhile.
        if connection.stopped is not None:
            await connection.stopped
        raise


async def _use_write_ahead_log(connection: aiosqlite.Connection) -> None:
    """Set SQLite's WAL mode, in which readers do not wait for the one writer.

    "synchronous" stays FULL: a refresh token is issued once, and one that is lost in a power cut is lost for good.
    """
    started = time.monotonic()
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself while other processes switch the mode of a new file.
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() - started > STATEMENT_TIMEOUT:
                raise
        else:
            return
        await asyncio.sleep(FIRST_POLL)
