"""The migrations, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.pool import StaticPool

from alembic import command
from tests.data import KEY
from zaikio_oauth import ConfigurationError, StoreUnavailableError
from zaikio_oauth.store import schema
from zaikio_oauth.store.database import Database


def differences(connection: Connection, database: Database) -> list[object]:
    """Return in what the database differs from the tables in the code."""
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_object": lambda _object, name, *_: name != schema.VERSION_TABLE,
        },
    )
    return list(compare_metadata(context, database.tables.metadata))


async def test_the_migrated_schema_matches_the_tables(database: Database) -> None:
    """No column, type or index differs between the migrations and the code."""
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences, database) == []


async def test_the_migrations_can_be_reverted_and_repeated(database: Database) -> None:
    """A downgrade removes all of our tables, and an upgrade creates them again."""

    def down(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(schema.directory()))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with database.engine.connect() as connection:
        await connection.run_sync(down)
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(names) <= {schema.VERSION_TABLE}

    await schema.upgrade(database.engine)
    assert await schema.missing_columns(database.engine, database.tables) == ()


async def test_every_migration_may_be_repeated(database: Database) -> None:
    """It leaves alone what it finds, because the app's own Alembic may have run it, with a version table of its own."""

    def repeat(connection: Connection) -> list[object]:
        config = Config()
        config.set_main_option("script_location", str(schema.directory()))
        scripts = list(ScriptDirectory.from_config(config).walk_revisions())
        with Operations.context(MigrationContext.configure(connection)):
            for script in scripts:
                script.module.downgrade()
                script.module.downgrade()
            for script in reversed(scripts):
                script.module.upgrade()
                script.module.upgrade()
            for script in reversed(scripts):
                script.module.upgrade()
        return [script.revision for script in scripts]

    async with database.engine.connect() as connection:
        assert len(await connection.run_sync(repeat)) == len(list((schema.directory() / "versions").glob("*.py")))
        assert await connection.run_sync(differences, database) == []


async def test_processes_that_start_together_migrate_one_by_one(database_url: str) -> None:
    """Eight processes open the same empty database, and the result is complete."""
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")
    databases = [Database(url, [KEY]) for _ in range(8)]
    try:
        await asyncio.gather(*(database.open(auto_migrate=True) for database in databases))
        assert await schema.missing_columns(databases[0].engine, databases[0].tables) == ()
    finally:
        for database in databases:
            await database.aclose()


async def test_an_unmigrated_database_is_reported_at_startup(database_url: str) -> None:
    """The error contains the command to run."""
    database = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [KEY])

    with pytest.raises(ConfigurationError, match="run: zaikio-oauth migrate"):
        await database.open(auto_migrate=False)
    await database.aclose()


async def test_a_failed_migration_is_rolled_back(database: Database) -> None:
    """This holds for SQLite as well, for example if another app's table has the same name."""
    async with database.engine.connect() as connection:
        await connection.execute(text("DROP TABLE zaikio_access_tokens"))
        await connection.execute(text("DROP TABLE zaikio_leases"))
        await connection.execute(text("CREATE TABLE zaikio_leases (id integer)"))
        await connection.execute(text(f"DELETE FROM {schema.VERSION_TABLE}"))  # noqa: S608

    with pytest.raises(ConfigurationError, match="table zaikio_leases that is not one of zaikio_oauth"):
        await database.open(auto_migrate=True)

    async with database.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    assert "zaikio_access_tokens" not in names


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        (
            "postgresql+asyncpg://app:swordfish@127.0.0.1:1/none",
            StoreUnavailableError,
            "cannot be reached; check ZAIKIO",
        ),
        (
            "postgresql+asyncpg://app:swordfish@127.0.0.1:1/none",
            StoreUnavailableError,
            r"^The database postgresql\+asyncpg://app:\*\*\*@127.0.0.1:1/none cannot be used now: it cannot [^(]*$",
        ),
        (
            "sqlite+aiosqlite:////nowhere/at/all/store.db",
            ConfigurationError,
            "its file cannot be opened; check that the folder exists and that this user may write to it.",
        ),
        ("postgresql+asyncpg://app:swordfish@host:port/none", ConfigurationError, "not an address"),
        ("sqlite+aiosqlite://", ConfigurationError, "a database in memory"),
        ("sqlite+aiosqlite:///:memory:", ConfigurationError, "a database in memory"),
        ("sqlite+aiosqlite:///file::memory:?uri=true", ConfigurationError, "a database in memory"),
    ],
)
async def test_an_unreachable_database_is_reported_without_its_password(
    url: str, kind: type[Exception], message: str
) -> None:
    """A server may come up, so that is worth another try; a file that cannot be opened is for somebody to mend."""
    database = None
    try:
        with pytest.raises(kind, match=message) as caught:
            database = Database(url, [KEY])
            await database.open(auto_migrate=False)
    finally:
        if database:
            await database.aclose()

    assert "swordfish" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


async def test_a_database_in_memory_is_refused_unless_its_connections_share_it() -> None:
    """Its tables would be in another database than its statements. The migration says so too."""
    alone = Database("sqlite+aiosqlite:///:memory:", [KEY], poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="name a file, such as sqlite:///zaikio_oauth"):
        await alone.migrate()
    await alone.aclose()

    shared = Database("sqlite+aiosqlite:///file::memory:?cache=shared&uri=true", [KEY])
    await shared.open(auto_migrate=True)
    assert await schema.missing_columns(shared.engine, shared.tables) == ()
    await shared.aclose()


def test_the_alembic_folder_is_not_a_package() -> None:
    """With an ``__init__.py`` in it, ``import alembic`` would find our folder instead of the library."""
    assert not (Path(__file__).parents[2] / "alembic" / "__init__.py").exists()


async def test_several_databases_can_be_migrated_at_once(tmp_path: Path) -> None:
    """Two instances of one app may start together; Alembic itself works on one database at a time."""
    databases = [Database(f"sqlite+aiosqlite:///{tmp_path}/{number}.db", [KEY]) for number in range(4)]
    try:
        await asyncio.gather(*(database.open(auto_migrate=True) for database in databases))
    finally:
        for database in databases:
            await database.aclose()


async def test_a_migration_that_is_cancelled_ends_as_cancelled_and_leaves_no_lock(database_url: str) -> None:
    """Ctrl-C and a time-out during the start are no database that cannot be used, and the next start is not held up."""
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")
    clock = asyncio.get_running_loop().time

    async def start() -> float:
        """Migrate the empty database and empty it again; return how many seconds the start took."""
        started = clock()
        database = Database(url, [KEY])
        await database.open(auto_migrate=True)
        seconds = clock() - started
        async with database.engine.connect() as connection:
            for table in schema.TABLE_NAMES:
                await connection.execute(text(f"DROP TABLE {table}"))
        await database.aclose()
        return seconds

    whole, cancelled = min([await start() for _ in range(3)]), 0
    parts = 40 if url.startswith("sqlite") else 10
    # What is released only with the garbage has to show.
    gc.disable()
    try:
        for part in range(parts):
            database = Database(url, [KEY])
            opening = asyncio.create_task(database.open(auto_migrate=True))
            await asyncio.sleep(whole * part / parts)
            opening.cancel()
            await asyncio.wait([opening], timeout=10)
            cancelled += opening.cancelled()
            assert opening.cancelled() or opening.exception() is None
            await database.aclose()
            await start()
    finally:
        gc.enable()
    assert cancelled > parts / 3


async def test_an_index_that_is_missing_is_made_when_the_app_starts(database: Database, database_url: str) -> None:
    """On SQLite; no column is missing then. What a newer version has made is left alone."""
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")

    async def after(revision: str) -> tuple[bool, str]:
        async with database.engine.connect() as connection:
            await connection.execute(text("DROP INDEX IF EXISTS ix_zaikio_access_tokens_newest"))
            await connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'"))  # noqa: S608
        started = Database(url, [KEY])
        await started.open(auto_migrate=True)
        await started.aclose()
        async with database.engine.connect() as connection:
            found = await connection.run_sync(lambda sync: inspect(sync).get_indexes("zaikio_access_tokens"))
            now = await connection.scalar(text(f"SELECT version_num FROM {schema.VERSION_TABLE}"))  # noqa: S608
        return "ix_zaikio_access_tokens_newest" in {index["name"] for index in found}, now

    newest = max(path.name for path in (schema.directory() / "versions").glob("*.py"))[:4]
    assert await after("zaikio_0007") == (True, f"zaikio_{newest}")
    assert await after("zaikio_9999") == (False, "zaikio_9999")
