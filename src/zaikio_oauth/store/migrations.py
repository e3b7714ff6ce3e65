"""Finds the Alembic migrations, in a checkout and in a wheel, and runs them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.retries_and_waits import FIRST_POLL
from zaikio_oauth.store.tables import Tables

__all__ = ["VERSION_TABLE", "directory", "missing_columns", "upgrade"]

VERSION_TABLE = "zaikio_oauth_alembic_version"
"""The table with our revision. It is not Alembic's default, because the app's own Alembic may use the same database."""

_ADVISORY_LOCK = 0x7A61696B

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


def _upgrade(connection: Connection) -> None:
    # Imported here so that only a process that migrates pays for it.
    from alembic.config import Config  # noqa: PLC0415

    from alembic import command  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
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
    """Migrate the database to the newest revision; those who start together, also in one process, take turns."""
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
            # Held by the transaction, not by the session, so that it works behind PgBouncer too.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            await connection.run_sync(_upgrade)
            await connection.commit()


def _missing_columns(connection: Connection, tables: Tables) -> tuple[str, ...]:
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    missing = []
    for table in tables.metadata.sorted_tables:
        columns = {column["name"] for column in inspector.get_columns(table.name)} if table.name in present else set()
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return tuple(missing)


async def missing_columns(engine: AsyncEngine, tables: Tables) -> tuple[str, ...]:
    """Return the columns that the database lacks; none when it is migrated."""
    async with engine.connect() as connection:
        return await connection.run_sync(_missing_columns, tables)
