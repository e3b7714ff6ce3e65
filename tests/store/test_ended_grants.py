"""Grants that have ended are deleted only after it was told that they are lost, by one of all processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.data import some_access_token
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrant, EndedGrantRepository
from zaikio_oauth.store.newest_grants import NewestGrantRepository
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository


async def test_a_lost_grant_is_marked_by_one_of_many(database: Database) -> None:
    """Also if all of them see it at the same moment."""
    past = datetime.now(UTC) - timedelta(hours=1)
    stored = await AccessTokenRepository(database).add(some_access_token(expires_at=past, refresh_expires_at=past))
    ended = EndedGrantRepository(database)

    marked = await asyncio.gather(*(ended.lose(stored.id, datetime.now(UTC)) for _ in range(8)))

    assert sorted(map(len, marked)) == [0] * 7 + [1]
    assert await lose(ended) == []


async def test_a_grant_is_not_deleted_before_it_was_told(database: Database) -> None:
    """It may have ended after the cleanup has looked for those that are lost."""
    past = datetime.now(UTC) - timedelta(hours=1)
    await AccessTokenRepository(database).add(some_access_token(expires_at=past, refresh_expires_at=past))
    ended = EndedGrantRepository(database)

    before = await delete(ended)
    lost = await lose(ended)

    assert (sum(before), len(lost)) == (0, 1)
    assert sum(await delete(ended)) == 1


async def test_windows_divide_what_has_ended_at_the_same_instant(database: Database) -> None:
    """An event of the Hub revokes hundreds at once, and the end of a window must neither skip nor repeat any of them."""
    tokens = AccessTokenRepository(database)
    ends = datetime.now(UTC) - timedelta(hours=1)
    for number in range(7):
        await tokens.add(some_access_token(jti=f"{number}", expires_at=ends, refresh_expires_at=ends))
    revoked, _ = await RevokedTokenRepository(database).add({"0", "1", "2", "3"})
    ended = EndedGrantRepository(database)
    lost = await lose(ended)

    assert (len(revoked), len(lost)) == (4, 3)
    assert [count for count in await delete(ended, batch=2) if count] == [2, 2, 2, 1]


async def test_what_has_replaced_a_lost_connection_is_deleted_after_it(database: Database) -> None:
    """The organization's client has got a token of its own since, so nobody has to connect anew."""
    now = datetime.now(UTC)
    past = now - timedelta(hours=1)
    tokens, ended = AccessTokenRepository(database), EndedGrantRepository(database)
    organization = {"bearer_type": "Organization", "bearer_id": "mill"}
    await tokens.add(some_access_token(**organization, expires_at=past, refresh_expires_at=past))
    await lose(ended)
    await asyncio.sleep(0.01)
    by_client = {"refresh_token": None, "refresh_expires_at": None, "created_at": datetime.now(UTC)}
    await tokens.add(some_access_token(**organization, **by_client, expires_at=datetime.now(UTC)))

    assert sum(await delete(ended, batch=1)) == 2
    assert await NewestGrantRepository(database).page("warehouse", "Organization", "", now) == []


async def lose(ended: EndedGrantRepository) -> list[EndedGrant]:
    """Mark all that are lost, and return them."""
    now = datetime.now(UTC)
    return [grant async for window in ended.windows(now) for grant in await ended.lose_in(window, now)]


async def delete(ended: EndedGrantRepository, batch: int = 10) -> list[int]:
    """Delete all that can be, and return how many there were in each window."""
    now = datetime.now(UTC)
    return [await ended.delete_in(window, now) async for window in ended.windows(now, batch)]
