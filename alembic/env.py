"""Run the migrations of zaikio_oauth, on a given connection or on the database in the settings."""

from __future__ import annotations

import asyncio

from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from alembic import context
from zaikio_oauth.settings import DatabaseSettings
from zaikio_oauth.store.schema import VERSION_TABLE


def run(connection: Connection) -> None:
    # A separate version table: the app's own Alembic may use "alembic_version" in the same database.
    context.configure(connection=connection, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    context.configure(
        url=DatabaseSettings().database_url,
        version_table=VERSION_TABLE,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_online() -> None:
    engine = create_async_engine(DatabaseSettings().database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)


connection = context.config.attributes.get("connection")
if context.is_offline_mode():
    run_offline()
elif connection is not None:
    run(connection)
else:
    # `alembic upgrade head` was run in a checkout.
    asyncio.run(run_online())
