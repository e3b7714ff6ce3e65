"""A statement on SQLite that the driver runs in one change of threads: the same rows, and nothing left behind."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import column, event, func, literal, select, table, text
from sqlalchemy.pool import NullPool, QueuePool

from tests.data import KEY, some_access_token, some_on_behalf_of
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound, Statements


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Return the URL of a database on SQLite only."""
    return f"sqlite:///{tmp_path / 'tokens.db'}"


@pytest.fixture
async def warm(database: Database) -> AsyncIterator[Database]:
    """Yield the database with one connection at hand."""
    await database.statements.run(text("SELECT 1"))
    yield database


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the threads of the connections are asked for."""
    asked: list[str] = []
    execute = aiosqlite.Connection._execute  # noqa: SLF001

    async def noting(connection: Any, step: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(step.__name__)
        return await execute(connection, step, *arguments, **options)

    monkeypatch.setattr(aiosqlite.Connection, "_execute", noting)
    return asked


def idle(database: Database) -> tuple[int, int]:
    """Return how many connections of the pool are idle and how many are in use."""
    assert isinstance(database.engine.pool, QueuePool)
    return database.engine.pool.checkedin(), database.engine.pool.checkedout()


async def test_rows_are_those_of_sqlalchemy(warm: Database, steps: list[str]) -> None:
    """Also JSON, instants in UTC, and what is empty; each statement is one step of the connection's thread."""
    unpooled = Database(warm.engine.url.render_as_string(hide_password=False), [KEY], poolclass=NullPool)
    repository = AccessTokenRepository(warm)
    acting = some_access_token(bearer_type="Organization", on_behalf_of=some_on_behalf_of())
    for token in (acting, some_access_token(refresh_token=None, refresh_expires_at=None, jti=None)):
        added = await repository.add(token)
        steps.clear()
        found = await repository.get(added.id)
        assert len(steps) == 1
        assert found is not None
        assert found == await AccessTokenRepository(unpooled).get(added.id)
        assert (found.access_token, found.issued_at.tzinfo) == (added, UTC)
        steps.clear()
        replaced = await repository.replace(found, found.access_token.model_copy(update={"token": "next"}))
        assert len(steps) == 2
        assert replaced is not None
        assert (replaced.version, replaced.access_token.token) == (2, "next")
        assert await repository.drop_refresh_token(found) is False
        assert await repository.drop_refresh_token(replaced) is True
        assert await repository.delete(added.id) is not None
        assert await repository.get(added.id) is None
    await unpooled.aclose()


async def test_who_watches_sqlalchemy_sees_every_statement(warm: Database) -> None:
    """An instrumentation listens to its events."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement.split()[0])

    event.listen(warm.engine.sync_engine, "before_cursor_execute", note)
    await AccessTokenRepository(warm).get("none")
    assert seen == ["SELECT"]


async def test_a_reader_who_is_cancelled_leaves_the_connection_as_it_was(warm: Database) -> None:
    """At any moment: it is used again, and the next caller gets what it has asked for."""
    repository = AccessTokenRepository(warm)
    added = await repository.add(some_access_token())
    opened: list[object] = []
    event.listen(warm.engine.sync_engine, "connect", lambda *_: opened.append(_))
    for round_ in range(100):
        leaving = asyncio.create_task(repository.get(added.id))
        await asyncio.sleep(round_ * 0.00001)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert await repository.get("none") is None
        found = await repository.get(added.id)
        assert found is not None
        assert found.access_token == added
    assert idle(warm) == (1, 0)
    assert opened == []


async def test_a_read_that_takes_too_long_is_given_up(warm: Database) -> None:
    """Such as one that waits for a disk; the connection can be used again once that is over."""
    pooled = await warm.engine.raw_connection()
    driver: Any = pooled.driver_connection
    pooled.close()
    waiting = asyncio.create_task(driver._execute(time.sleep, 1.5))
    await asyncio.sleep(0)
    statements = Statements(warm.engine, deadline=0.3, direct=True)
    one = Bound(select(literal(1).label("one")), {})
    with pytest.raises(StoreUnavailableError, match="a statement took too long"):
        await statements.run(one)
    assert not waiting.done()
    await waiting
    assert (await statements.run(one)).rows[0].one == 1
    assert idle(warm) == (1, 0)


async def test_a_write_that_is_refused_keeps_no_lock(warm: Database) -> None:
    """Nor does its error say what the driver said."""
    await warm.statements.run(text("CREATE TABLE short (name text CHECK (length(name) < 4))"))
    insert = table("short", column("name")).insert()
    with pytest.raises(StoreUnavailableError, match="SQLITE_CONSTRAINT_CHECK") as caught:
        await warm.statements.run(Bound(insert, {"name": "swordfish"}))
    assert "swordfish" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    other = sqlite3.connect(str(warm.engine.url.database), timeout=0, isolation_level=None)
    other.execute("INSERT INTO short VALUES ('abc')")
    other.close()
    assert idle(warm) == (1, 0)
    count = select(func.count().label("number")).select_from(table("short"))
    assert (await warm.statements.run(Bound(count, {}))).rows[0].number == 1


async def test_a_connection_that_was_closed_is_replaced(warm: Database) -> None:
    """Nobody notices."""
    for read in (True, False):
        pooled = await warm.engine.raw_connection()
        driver: Any = pooled.driver_connection
        pooled.close()
        await driver.close()
        repository = AccessTokenRepository(warm)
        assert await repository.get("none") is None if read else await repository.delete("none") is None
        await warm.statements.drain()
        assert idle(warm) == (1, 0)


async def test_connections_that_somebody_else_makes_are_used_by_sqlalchemy(tmp_path: Path) -> None:
    """Such as those of ``connect_args={"async_creator_fn": …}``."""

    async def create() -> aiosqlite.Connection:
        return await aiosqlite.connect(tmp_path / "other.db")

    async def creator(*_: Any, **__: Any) -> aiosqlite.Connection:
        return await create()

    options = {"connect_args": {"async_creator_fn": creator}}
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}", [KEY], **options)
    await database.open(auto_migrate=True)
    repository = AccessTokenRepository(database)
    added = await repository.add(some_access_token())
    found = await repository.get(added.id)
    assert found is not None
    assert found.access_token == added
    await database.aclose()
