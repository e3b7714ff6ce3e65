"""Who waits for a connection gets one in turn, and who leaves takes none along."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import bindparam, event, func, select, text
from sqlalchemy.pool import QueuePool

from tests.data import KEY
from zaikio_oauth.store import idle_connections
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound

pytestmark = pytest.mark.postgresql

SLEEPING = select(func.pg_sleep(bindparam("seconds")).label("slept"))


async def opened(url: str, **options: Any) -> tuple[Database, QueuePool]:
    """Return a database with one idle connection, and its pool."""
    database = Database(url, [KEY], **options)
    await database.statements.run(text("SELECT 1"))
    assert isinstance(database.engine.pool, QueuePool)
    return database, database.engine.pool


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take longer than a caller waits otherwise."""
    monkeypatch.setattr(idle_connections, "LONGEST_WAIT", 3.0)


def opened_by(database: Database) -> list[object]:
    """Return a list of the connections that are opened from now on."""
    connections: list[object] = []
    event.listen(database.engine.sync_engine, "connect", lambda connection, _: connections.append(connection))
    return connections


async def sleep(database: Database, seconds: float, done: list[int] | None = None, number: int = 0) -> None:
    """Keep a connection in use; then note the number."""
    await database.statements.run(Bound(SLEEPING, {"seconds": seconds}))
    if done is not None:
        done.append(number)


@pytest.mark.usefixtures("patient")
async def test_a_moment_is_waited_before_another_connection_is_opened(postgresql_url: str) -> None:
    """Short statements take turns, first come, first served: whoever has had one does not overtake the others."""
    database, _ = await opened(postgresql_url, pool_size=1, max_overflow=5)
    connections = opened_by(database)
    done: list[int] = []

    async def call(number: int) -> None:
        for _ in range(5):
            await sleep(database, 0.0, done, number)

    await asyncio.gather(*(call(number) for number in range(4)))
    assert done == [0, 1, 2, 3] * 5
    assert connections == []
    await database.aclose()


async def test_nobody_waits_long_while_another_connection_may_be_opened(postgresql_url: str) -> None:
    """One long statement holds up nothing else."""
    database, pool = await opened(postgresql_url, pool_size=1, max_overflow=1)
    long = asyncio.create_task(sleep(database, 3.0))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await sleep(database, 0.0)
    assert not long.done()
    await long
    await database.statements.drain()
    assert (pool.checkedout(), pool.overflow()) == (0, 0)
    await database.aclose()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("steps", range(6))
async def test_who_leaves_the_queue_takes_no_connection_along(postgresql_url: str, steps: int) -> None:
    """At any moment, also when it is the caller's turn: whoever comes next has it."""
    database, pool = await opened(postgresql_url, pool_size=1, max_overflow=5)
    connections = opened_by(database)

    async def first() -> None:
        await sleep(database, 0.0)
        for _ in range(steps):
            await asyncio.sleep(0)
        second.cancel()

    holding = asyncio.create_task(first())
    await asyncio.sleep(0)
    second = asyncio.create_task(sleep(database, 0.0))
    third = asyncio.create_task(sleep(database, 0.0))
    await asyncio.wait([holding, second, third])
    assert third.exception() is None
    began = time.monotonic()
    for _ in range(50):
        await sleep(database, 0.0)
    # Each would wait in vain for a connection that is kept for one who has left.
    assert time.monotonic() - began < 2
    await database.statements.drain()
    assert (pool.checkedin(), pool.checkedout()) == (1, 0)
    # One in whose query the caller was cancelled is replaced.
    assert len(connections) <= (steps > 0)
    await database.aclose()


async def test_a_connection_that_is_closed_frees_its_place(postgresql_url: str) -> None:
    """Who waits then opens another one at once."""
    database, pool = await opened(postgresql_url, pool_size=1, max_overflow=0)
    leaving = asyncio.create_task(sleep(database, 30.0))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(sleep(database, 0.0))
    await asyncio.sleep(0)
    leaving.cancel()
    async with asyncio.timeout(5):
        await waiting
    await database.statements.drain()
    assert (pool.checkedin(), pool.checkedout()) == (1, 0)
    await database.aclose()
