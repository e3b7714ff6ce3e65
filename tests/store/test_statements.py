"""Statements are completed even if their caller is cancelled."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text

from tests.data import some_access_token
from tests.inside import replace_row
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Statements


async def test_a_cancelled_caller_leaves_no_lock(database: Database) -> None:
    """If a caller is cancelled during an UPDATE, others can write immediately."""
    tokens = AccessTokenRepository(database)
    stored = await tokens.add(some_access_token())
    for round_ in range(100):
        leaving = asyncio.create_task(replace_row(tokens, stored))
        await asyncio.sleep(round_ * 0.00004)
        leaving.cancel()
        async with asyncio.timeout(5):
            assert await replace_row(tokens, stored)


async def test_an_answer_that_arrived_while_the_loop_was_blocked_is_read(database: Database) -> None:
    """The loop goes on long after the deadline, when the answer is there; on PostgreSQL the connection is not cut."""
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) FROM n",
        "postgresql": "SELECT 2000000 FROM pg_sleep(0.4)",
    }
    statements = Statements(database.engine, deadline=1)
    await statements.run(text("SELECT 1"))
    asyncio.get_running_loop().call_later(0.1, time.sleep, 3)

    outcome = await statements.run(text(slow[database.engine.dialect.name]))

    assert outcome.first == (2000000,)


async def test_started_statements_end_before_the_database_closes(database: Database) -> None:
    """A cancelled caller would otherwise lose a new grant."""
    tokens = AccessTokenRepository(database)
    leaving = asyncio.create_task(tokens.add(some_access_token()))
    await asyncio.sleep(0)  # The statement runs in its own task now.
    leaving.cancel()
    await asyncio.wait([leaving])
    await database.statements.drain()

    async with database.engine.connect() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM zaikio_access_tokens"))).scalar_one()
    assert count == 1
