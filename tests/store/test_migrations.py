"""The migrations, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from alembic import command
from tests.data import KEY
from zaikio_oauth import ConfigurationError
from zaikio_oauth.store import migrations
from zaikio_oauth.store.database import Database


async def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    """No column, type or index differs between the migrations and the code."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_object": lambda _object, name, *_: name != migrations.VERSION_TABLE,
            },
        )
        return list(compare_metadata(context, database.tables.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_migrations_go_down_and_up_again(database: Database) -> None:
    """Down leaves nothing of ours behind, up makes it whole."""

    def down(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(migrations.directory()))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with database.engine.connect() as connection:
        await connection.run_sync(down)
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(names) <= {migrations.VERSION_TABLE}

    await migrations.upgrade(database.engine)
    assert await migrations.missing_columns(database.engine, database.tables) == ()


async def test_processes_that_start_together_take_turns(database_url: str) -> None:
    """Four workers of one server migrate one empty database; each ends up with a whole one."""
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")
    databases = [Database(url, [KEY]) for _ in range(4)]
    try:
        await asyncio.gather(*(database.open(auto_migrate=True) for database in databases))
        assert await migrations.missing_columns(databases[0].engine, databases[0].tables) == ()
    finally:
        for database in databases:
            await database.aclose()


async def test_an_unmigrated_database_says_what_to_run(database_url: str) -> None:
    """Instead of failing at the first login."""
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])

    with pytest.raises(ConfigurationError, match="run: zaikio-oauth migrate"):
        await database.open(auto_migrate=False)
    await database.aclose()


async def test_a_migration_that_fails_leaves_nothing_half_done(database: Database) -> None:
    """The table of another app is in the way: the upgrade is rolled back whole, on SQLite too."""
    async with database.engine.connect() as connection:
        await connection.execute(text("DROP TABLE zaikio_access_tokens"))
        await connection.execute(text("DROP TABLE zaikio_leases"))
        await connection.execute(text(f"DELETE FROM {migrations.VERSION_TABLE}"))  # noqa: S608

    with pytest.raises(ConfigurationError, match="cannot be used"):
        await database.open(auto_migrate=True)

    async with database.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    assert "zaikio_access_tokens" not in names


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+asyncpg://app:swordfish@127.0.0.1:1/none", "cannot be used"),
        ("sqlite+aiosqlite:////nowhere/at/all/store.db", "cannot be used"),
        ("postgresql+asyncpg://app:swordfish@host:port/none", "not an address"),
    ],
)
async def test_a_database_that_cannot_be_reached_is_named_without_its_password(url: str, message: str) -> None:
    """At start-up, in one line that a tired person can act on."""
    database = None
    try:
        with pytest.raises(ConfigurationError, match=message) as caught:
            database = Database(url, [KEY])
            await database.open(auto_migrate=False)
    finally:
        if database:
            await database.aclose()

    assert "swordfish" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_alembic_is_a_folder_and_no_package() -> None:
    """With an ``__init__.py`` in it, ``import alembic`` would find our folder instead of the library."""
    assert not (Path(__file__).parents[2] / "alembic" / "__init__.py").exists()
