"""Grants that have ended are deleted only after it was told that they are lost, by one of all processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.data import some_access_token
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrantRepository


async def test_a_lost_grant_is_marked_by_one_of_many(database: Database) -> None:
    """Also if all of them see it at the same moment."""
    past = datetime.now(UTC) - timedelta(hours=1)
    stored = await AccessTokenRepository(database).add(some_access_token(expires_at=past, refresh_expires_at=past))
    ended = EndedGrantRepository(database)

    marked = await asyncio.gather(*(ended.lose(stored.id, datetime.now(UTC)) for _ in range(8)))

    assert sorted(map(len, marked)) == [0] * 7 + [1]
    assert await ended.lose_over(datetime.now(UTC)) == []


async def test_a_grant_is_not_deleted_before_it_was_told(database: Database) -> None:
    """It may have ended after the cleanup has looked for those that are lost."""
    past = datetime.now(UTC) - timedelta(hours=1)
    await AccessTokenRepository(database).add(some_access_token(expires_at=past, refresh_expires_at=past))
    ended = EndedGrantRepository(database)

    before = await ended.delete_unusable(datetime.now(UTC), 10)
    lost = await ended.lose_over(datetime.now(UTC))

    assert (before, len(lost)) == (0, 1)
    assert await ended.delete_unusable(datetime.now(UTC), 10) == 1
