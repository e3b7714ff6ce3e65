"""A SELECT on PostgreSQL that is sent to asyncpg itself: the same rows, the same errors, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import greenlet
import pytest
from sqlalchemy import Select, bindparam, column, event, func, literal, select, table, text
from sqlalchemy.pool import NullPool, QueuePool

from tests.data import KEY, some_access_token, some_on_behalf_of
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound

pytestmark = pytest.mark.postgresql


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """Return the URL of a database on PostgreSQL only."""
    return postgresql_url


@pytest.fixture
async def warm(database: Database) -> AsyncIterator[Database]:
    """Yield the database with a connection at hand."""
    await database.statements.run(text("SELECT 1"))
    yield database


@contextmanager
def sent_to_asyncpg(database: Database) -> Iterator[list[str]]:
    """Yield a list of the statements that asyncpg is sent while the body runs, but for those of SQLAlchemy."""
    sent: list[str] = []

    def note(query: Any) -> None:
        sent.append(query.query.split()[0])

    def watch(connection: Any, *_: Any) -> None:
        connection.driver_connection.add_query_logger(note)

    event.listen(database.engine.sync_engine, "checkout", watch)
    yield sent
    event.remove(database.engine.sync_engine, "checkout", watch)


def pool_of(database: Database) -> QueuePool:
    """Return the pool of connections."""
    assert isinstance(database.engine.pool, QueuePool)
    return database.engine.pool


async def test_rows_are_those_of_sqlalchemy(warm: Database) -> None:
    """Also JSON, instants in UTC, and what is empty."""
    unpooled = Database(warm.engine.url.render_as_string(hide_password=False), [KEY], poolclass=NullPool)
    added = [
        await AccessTokenRepository(warm).add(token)
        for token in (
            some_access_token(bearer_type="Organization", on_behalf_of=some_on_behalf_of()),
            some_access_token(refresh_token=None, refresh_expires_at=None, jti=None),
        )
    ]
    with sent_to_asyncpg(warm) as sent:
        for token in added:
            found = await AccessTokenRepository(warm).get(token.id)
            assert found is not None
            assert found == await AccessTokenRepository(unpooled).get(token.id)
            assert found.access_token == token
            assert found.issued_at.tzinfo is UTC
        assert await AccessTokenRepository(warm).get("none") is None
        await asyncio.sleep(0)
    assert sent == ["SELECT"] * 3
    await unpooled.aclose()


async def test_who_finds_no_connection_at_hand_waits_for_one(database_url: str) -> None:
    """In a task of its own, which nothing cancels; then the query is sent all the same."""
    database = Database(database_url, [KEY], pool_size=1, max_overflow=0)
    with sent_to_asyncpg(database) as sent:
        await asyncio.gather(*(database.statements.run(Bound(BACKEND, {})) for _ in range(5)))
        await asyncio.sleep(0)
    assert sent == ["SELECT"] * 5
    caller = asyncio.create_task(database.statements.run(Bound(sleeping(), {"seconds": 0.2})))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(database.statements.run(Bound(BACKEND, {})))
    await asyncio.sleep(0.05)
    waiting.cancel()
    assert (await caller).first is not None
    assert (await database.statements.run(Bound(BACKEND, {}))).first is not None
    await database.aclose()


async def test_connections_beyond_the_size_of_the_pool_are_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an orderly way: the server is told, which would log a broken connection otherwise."""
    aborted: list[object] = []
    monkeypatch.setattr(asyncpg.Connection, "terminate", aborted.append)
    database = Database(database_url, [KEY], pool_size=2, max_overflow=5)
    for _ in range(3):
        await asyncio.gather(*(database.statements.run(Bound(sleeping(), {"seconds": 0.05})) for _ in range(6)))
    await database.statements.drain()
    pool = pool_of(database)
    assert (pool.checkedin(), pool.checkedout(), pool.overflow()) == (2, 0, 0)
    others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert (await database.statements.run(others)).rows[0][0] == 2
    assert aborted == []
    await database.aclose()


async def test_who_watches_sqlalchemy_sees_every_statement(warm: Database, caplog: pytest.LogCaptureFixture) -> None:
    """An operator by its log, an instrumentation by its events."""
    repository = AccessTokenRepository(warm)
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    with sent_to_asyncpg(warm) as sent:
        with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
            await repository.get("none")
        assert [record.getMessage().split()[0] for record in caplog.records if "FROM" in record.getMessage()]
        event.listen(warm.engine.sync_engine, "before_cursor_execute", note)
        await repository.get("none")
        event.remove(warm.engine.sync_engine, "before_cursor_execute", note)
        assert [statement.split()[0] for statement in seen] == ["SELECT"]
        await asyncio.sleep(0)
        assert sent == []
        await repository.get("none")
        await asyncio.sleep(0)
    assert sent == ["SELECT"]


async def test_a_default_of_the_statement_is_sent(warm: Database) -> None:
    """Such as that of a limit."""
    numbers = select(func.generate_series(literal(1), bindparam("last")).label("number")).limit(2)
    assert [row.number for row in (await warm.statements.run(Bound(numbers, {"last": 9}))).rows] == [1, 2]


def sleeping() -> Select[Any]:
    """Return a query that takes as long as its parameter says, in seconds."""
    return select(func.pg_sleep(bindparam("seconds")).label("slept"))


async def kill_connections(database: Database) -> None:
    """Fill the pool and have the server end all of its connections, as at a restart."""
    query = sleeping()
    await asyncio.gather(*(database.statements.run(Bound(query, {"seconds": 0.2})) for _ in range(5)))
    other = Database(database.engine.url.render_as_string(hide_password=False), [KEY])
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    await other.statements.run(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))  # noqa: S608
    await other.aclose()


async def backend(database: Database) -> int:
    """Return which process of the server serves the one connection at hand."""
    assert pool_of(database).checkedin() == 1
    return int((await database.statements.run(Bound(BACKEND, {}))).rows[0].pid)


BACKEND = select(func.pg_backend_pid().label("pid"))


async def test_a_caller_who_is_cancelled_leaves_nothing_behind(warm: Database) -> None:
    """The connection in whose query that happened is closed, at any moment, and the next caller has another one."""
    pool = pool_of(warm)
    query = sleeping()
    for pause in (0, 0.001, 0.002, 0.005, 0.02, 0.05):
        await warm.statements.run(text("SELECT 1"))
        before = await backend(warm)
        caller = asyncio.create_task(warm.statements.run(Bound(query, {"seconds": 30})))
        await asyncio.sleep(pause)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert pool.checkedout() == 0
        assert (await warm.statements.run(Bound(query, {"seconds": 0}))).first is not None
        assert pause < 0.02 or await backend(warm) != before


async def test_connections_that_died_are_replaced(warm: Database) -> None:
    """All of the pool at once, as after a restart of the server: nobody notices."""
    repository = AccessTokenRepository(warm)
    stored = await repository.add(some_access_token())
    await kill_connections(warm)
    for _ in range(3):
        assert await repository.get(stored.id) is not None


@pytest.mark.parametrize(
    ("options", "connections"),
    [
        ({}, 1),
        ({"pool_size": 1, "max_overflow": 0}, 1),
        ({"pool_pre_ping": True}, 1),
        ({"pool_recycle": 0}, 4),
        ({"pool_size": 1, "max_overflow": -1}, 1),
    ],
    ids=["default", "at its limit", "with a ping", "always recycled", "without limit"],
)
async def test_each_kind_of_pool_gives_its_connections(
    database_url: str, options: dict[str, Any], connections: int
) -> None:
    """One after the other, then several at once; and what is idle is used again, unless the pool forbids it."""
    database = Database(database_url, [KEY], **options)
    await database.statements.run(text("SELECT 1"))
    seen = {(await database.statements.run(Bound(BACKEND, {}))).rows[0].pid for _ in range(4)}
    assert len(seen) == connections
    outcomes = await asyncio.gather(*(database.statements.run(Bound(sleeping(), {"seconds": 0.02})) for _ in range(4)))
    assert all(outcome.first is not None for outcome in outcomes)
    await kill_connections(database)
    assert (await database.statements.run(Bound(BACKEND, {}))).rows[0].pid not in seen
    assert pool_of(database).checkedout() == 0
    await database.aclose()


async def test_a_look_up_on_an_idle_connection_takes_no_greenlet(warm: Database) -> None:
    """They cost a third of it. Without a connection at hand it takes one."""
    switches: list[str] = []
    before = greenlet.settrace(lambda kind, _: switches.append(kind))
    try:
        await AccessTokenRepository(warm).get("none")
        assert switches == []
        await warm.engine.dispose()
        await AccessTokenRepository(warm).get("none")
        assert switches != []
    finally:
        greenlet.settrace(before)


async def test_a_query_that_takes_too_long_ends_and_so_does_its_connection(database_url: str) -> None:
    """The error is that of every other statement."""
    database = Database(f"{database_url}?command_timeout=0.3", [KEY])
    await database.statements.run(text("SELECT 1"))
    before, began = await backend(database), datetime.now(UTC)
    with pytest.raises(StoreUnavailableError, match="a statement took too long"):
        await database.statements.run(Bound(sleeping(), {"seconds": 30}))
    assert datetime.now(UTC) - began < timedelta(seconds=3)
    assert (await database.statements.run(text("SELECT 1"))).first is not None
    assert await backend(database) != before
    assert pool_of(database).checkedout() == 0
    await database.aclose()


async def test_a_table_that_changes_is_read_as_it_is_now(warm: Database) -> None:
    """A migration in another process invalidates what the server has prepared."""
    await warm.statements.run(text("CREATE TABLE changing AS SELECT 1 AS number"))
    query = select(column("number")).select_from(table("changing"))
    assert (await warm.statements.run(Bound(query, {}))).first == (1,)
    await warm.statements.run(text("ALTER TABLE changing ALTER COLUMN number TYPE text"))
    assert (await warm.statements.run(Bound(query, {}))).first == ("1",)


async def test_what_changes_rows_says_how_many(warm: Database) -> None:
    """Sent to asyncpg as well, in a task that ends although its caller is gone."""
    repository = AccessTokenRepository(warm)
    await repository.get("none")
    stored = await repository.add(some_access_token(on_behalf_of=some_on_behalf_of(), bearer_type="Organization"))
    row = await repository.get(stored.id)
    assert row is not None
    replaced = await repository.replace(row, row.access_token.model_copy(update={"token": "next"}))
    assert replaced is not None
    assert (replaced.version, replaced.access_token.token) == (2, "next")
    assert await repository.drop_refresh_token(row) is False
    assert await repository.drop_refresh_token(replaced) is True
    deleted = await repository.delete(stored.id)
    assert deleted is not None
    assert deleted.access_token.on_behalf_of == some_on_behalf_of()
    with sent_to_asyncpg(warm) as sent:
        assert await repository.delete(stored.id) is None
        await asyncio.sleep(0)
    assert sent == ["DELETE"]


async def test_a_write_ends_although_its_caller_is_gone(warm: Database) -> None:
    """It is stored, whenever the caller was cancelled."""
    await warm.statements.run(text("CREATE TABLE notes (number int)"))
    notes = table("notes", column("number"))
    note = notes.insert()
    for number in range(30):
        caller = asyncio.create_task(warm.statements.run(Bound(note, {"number": number})))
        for _ in range(number):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
    await warm.statements.drain()
    counted = await warm.statements.run(select(func.count()).select_from(notes))
    # The first one was cancelled before its task had begun.
    assert counted.rows[0][0] == 29


async def test_an_error_says_nothing_of_the_driver(warm: Database) -> None:
    """It could quote a value; and the connection can be used again."""
    await warm.statements.run(text("CREATE TABLE short (name varchar(3))"))
    insert = table("short", column("name")).insert()
    await warm.statements.run(Bound(insert, {"name": "abc"}))
    with pytest.raises(StoreUnavailableError) as caught:
        await warm.statements.run(Bound(insert, {"name": "swordfish"}))
    assert not caught.value.may_pass
    assert "swordfish" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert pool_of(warm).checkedout() == 0
    await warm.statements.run(Bound(insert, {"name": "def"}))


async def test_a_write_on_connections_that_died_is_made_once_on_another(warm: Database) -> None:
    """All of the pool at once, as after a restart of the server."""
    repository = AccessTokenRepository(warm)
    await kill_connections(warm)
    stored = await repository.add(some_access_token())
    assert await repository.get(stored.id) is not None
