"""Statements end, whoever goes away meanwhile."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from tests.data import some_access_token
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database


async def test_a_caller_that_is_cancelled_leaves_no_lock_behind(database: Database) -> None:
    """A browser goes away in the middle of an UPDATE: others write on at once, a hundred times."""
    tokens = AccessTokenRepository(database)
    stored = await tokens.add(some_access_token())
    for round_ in range(100):
        leaving = asyncio.create_task(tokens.replace(stored))
        await asyncio.sleep(round_ * 0.00004)
        leaving.cancel()
        async with asyncio.timeout(5):
            assert await tokens.replace(stored)


async def test_what_was_begun_is_done_before_the_database_closes(database: Database) -> None:
    """Even if nobody waits for it any more: here a new grant, which would be lost."""
    tokens = AccessTokenRepository(database)
    leaving = asyncio.create_task(tokens.add(some_access_token()))
    await asyncio.sleep(0)  # the statement is a task of its own now
    leaving.cancel()
    await asyncio.wait([leaving])
    await database.statements.drain()

    async with database.engine.connect() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM zaikio_access_tokens"))).scalar_one()
    assert count == 1
