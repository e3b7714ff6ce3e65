"""How far the migrations of a database are, as a person is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tests.data import KEY
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.schema_state import schema_state


@pytest.fixture
async def unmigrated(database_url: str) -> AsyncIterator[Database]:
    """Yield the store in an empty database."""
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])
    yield database
    await database.aclose()


async def execute(database: Database, *statements: str) -> None:
    async with database.engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def test_an_empty_database_is_told_from_one_that_lacks_something(unmigrated: Database) -> None:
    """Both have to be migrated; only the second names what is missing."""
    empty = await schema_state(unmigrated)
    await unmigrated.migrate()
    await execute(unmigrated, "ALTER TABLE zaikio_used_flows DROP COLUMN used_by")
    behind = await schema_state(unmigrated)

    assert (empty.progress, empty.revision) == ("empty", None)
    assert (behind.progress, behind.missing) == ("behind", ("zaikio_used_flows.used_by",))


async def test_a_migrated_database_is_current_whoever_has_migrated_it(database: Database) -> None:
    """Without our table of versions it was the app's own Alembic. An unknown revision is that of a newer version."""
    current = await schema_state(database)
    await execute(database, "UPDATE zaikio_oauth_alembic_version SET version_num = 'zaikio_9999'")
    ahead = await schema_state(database)
    await execute(database, "UPDATE zaikio_oauth_alembic_version SET version_num = 'zaikio_0001'")
    unmarked = await schema_state(database)
    await execute(database, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    await execute(database, f"INSERT INTO alembic_version VALUES ('theirs'), ('{current.newest}')")
    finished_by_the_app = await schema_state(database)
    await execute(database, "DROP TABLE zaikio_oauth_alembic_version", "DROP TABLE alembic_version")
    by_the_app = await schema_state(database)

    assert [each.progress for each in (current, ahead, unmarked, finished_by_the_app, by_the_app)] == [
        "current",
        "ahead",
        "unmarked",
        "by the app",
        "by the app",
    ]
    assert (current.revision, ahead.revision) == (ahead.newest, "zaikio_9999")
    assert current.server.split()[0] in ("PostgreSQL", "SQLite")
    assert current.server.split()[1][0].isdigit()


async def test_a_table_of_the_ruby_gem_is_not_ours(unmigrated: Database) -> None:
    """It has the same name; nothing says that only columns are missing."""
    await execute(unmigrated, "CREATE TABLE zaikio_access_tokens (id VARCHAR(36), bearer_type TEXT, token TEXT)")
    state = await schema_state(unmigrated)

    assert "The Ruby gem" in (state.foreign or "")


async def test_a_database_that_cannot_be_reached_is_an_error_of_ours() -> None:
    """The same as when the app starts, without the password."""
    database = Database("postgresql+asyncpg://user:swordfish@127.0.0.1:1/db", [KEY])
    with pytest.raises(StoreUnavailableError, match="cannot be reached") as raised:
        await schema_state(database)
    await database.aclose()

    assert "swordfish" not in str(raised.value)
