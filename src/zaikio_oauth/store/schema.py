"""The schema of the database: what it lacks, whose tables it has, and the Alembic migrations that bring it up to date.

Our own runs of the migrations and those of the app's Alembic may be mixed, in any order: each has a version table of
its own, and a migration leaves alone what it finds (``schema_changes``).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings.retries_and_waits import FIRST_POLL
from zaikio_oauth.store.tables import Tables

__all__ = ["TABLE_NAMES", "TURN", "VERSION_TABLE", "check_owner", "directory", "missing_columns", "outdated", "upgrade"]

VERSION_TABLE: Final = "zaikio_oauth_alembic_version"
"""The table with our revision. It is not Alembic's default, because the app's own Alembic may use the same database."""

TABLE_NAMES: Final = frozenset({*Tables().metadata.tables, VERSION_TABLE})
"""Every table of ours."""

TURN: Final = text(f"SELECT pg_advisory_xact_lock({0x7A61696B})")
"""Waits on PostgreSQL until nobody else migrates. The transaction holds it, so that it works behind PgBouncer too."""

_SINCE_THE_FIRST: Final = {"zaikio_access_tokens": ("jti", "version")}
"""Columns that our table has had since its first revision, and a table of that name by somebody else has not."""

_in_this_process = threading.Lock()
"""Held while a migration runs: Alembic keeps what it works on in a global of the process."""


def directory() -> Path:
    """Return the folder with ``env.py`` and ``versions``; raises ConfigurationError if the installation lacks it."""
    package = Path(__file__).parents[1]
    # In a wheel the folder lies inside the package; in a checkout, also an editable one, at the top.
    for candidate in (package / "_alembic", package.parents[1] / "alembic"):
        if (candidate / "env.py").is_file():
            return candidate
    raise ConfigurationError("The migrations are not part of this installation of zaikio_oauth; install it again.")


def check_owner(table: str, present: Collection[str], expected: Collection[str]) -> None:
    """Raise ConfigurationError if a table of that name, with the columns ``present``, is not ours."""
    lacking = [column for column in expected if column not in present]
    if lacking:
        raise ConfigurationError(
            f"The database has a table {table} that is not one of zaikio_oauth: it lacks {', '.join(lacking)}. "
            "The Ruby gem zaikio-oauth_client has a table zaikio_access_tokens, whose tokens cannot be read here; "
            f"rename the table (ALTER TABLE {table} RENAME TO former_{table}) or, while another app uses it, set "
            "ZAIKIO_DATABASE_URL to another database, then run: zaikio-oauth migrate"
        )


def _check_revisions(names: Iterable[str]) -> None:
    strange = [name for name in names if not name.startswith("zaikio_")]
    if strange:
        raise ConfigurationError(
            f"The folder {directory() / 'versions'} of zaikio_oauth contains migrations of an app: "
            f"{', '.join(strange)}. Move them to the app's own folder, and see docs/how-to/alembic.md."
        )


def _upgrade(connection: Connection) -> None:
    # Imported here so that only a process that migrates pays for it.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from alembic import command  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    _check_revisions(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
    command.upgrade(config, "head")
    if _missing_columns(connection, Tables()) or _missing_indexes(connection, Tables()):
        # The app's own Alembic has reverted what our version table says. Migrations leave alone what is still there.
        command.stamp(config, "base")
        command.upgrade(config, "head")


@asynccontextmanager
async def _turn() -> AsyncIterator[None]:
    while not _in_this_process.acquire(blocking=False):  # noqa: ASYNC110 (those who wait may be in other threads)
        await asyncio.sleep(FIRST_POLL)
    try:
        yield
    finally:
        _in_this_process.release()


async def upgrade(engine: AsyncEngine) -> None:
    """Migrate the database to the newest revision; those who start together, also in one process, take turns.

    Raises ConfigurationError if a table of somebody else has the name of one of ours.
    """
    async with _turn(), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # The driver begins no transaction before DDL, so we do, and acquire the write lock at once.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("BEGIN IMMEDIATE"))
            try:
                await connection.run_sync(_upgrade)
            except BaseException:
                await connection.execute(text("ROLLBACK"))
                raise
            await connection.execute(text("COMMIT"))
        else:
            await connection.execution_options(isolation_level="READ COMMITTED")
            await connection.execute(TURN)
            await connection.run_sync(_upgrade)
            await connection.commit()


def _missing_columns(connection: Connection, tables: Tables) -> tuple[str, ...]:
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    missing = []
    for table in tables.metadata.sorted_tables:
        columns = {column["name"] for column in inspector.get_columns(table.name)} if table.name in present else set()
        if columns:
            check_owner(table.name, columns, _SINCE_THE_FIRST.get(table.name, ()))
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return tuple(missing)


def _missing_indexes(connection: Connection, tables: Tables) -> bool:
    inspector = inspect(connection)
    return any(
        {index.name for index in table.indexes} - {index["name"] for index in inspector.get_indexes(table.name)}
        for table in tables.metadata.sorted_tables
    )


def _outdated(connection: Connection) -> bool:
    if not inspect(connection).has_table(VERSION_TABLE):
        return False
    newest = max(path.name for path in (directory() / "versions").glob("[0-9]*.py")).partition("_")[0]
    # One of a newer version is left alone: what it has changed is no fault.
    revisions = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars()  # noqa: S608 (a constant)
    return any(revision < f"zaikio_{newest}" for revision in revisions)


async def outdated(engine: AsyncEngine) -> bool:
    """Return True if we have migrated the database, but not to the newest revision, which may have only an index."""
    async with engine.connect() as connection:
        return await connection.run_sync(_outdated)


async def missing_columns(engine: AsyncEngine, tables: Tables) -> tuple[str, ...]:
    """Return the columns that the database lacks; none when it is migrated, whoever has done it.

    Raises ConfigurationError if the table for access tokens is somebody else's.
    """
    async with engine.connect() as connection:
        return await connection.run_sync(_missing_columns, tables)
