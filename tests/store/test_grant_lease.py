"""The lease of a grant: on PostgreSQL it is acquired, and released, with the statement that reads or stores the grant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from tests.data import OTHER_KEY, some_access_token
from tests.inside import engine_of
from tests.store.statements_sent import statements_of
from tests.tokens.due_tokens import persons_token
from zaikio_oauth import AccessToken, DecryptionError, Settings, ZaikioOAuth
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.grant_lease import GrantLease
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.testing import LocalHub

SHORT = 0.3


@pytest.fixture
async def grant(database: Database) -> AccessToken:
    """Return a stored grant."""
    return await AccessTokenRepository(database).add(some_access_token())


def lease_of(database: Database, grant: AccessToken, seconds: float = SHORT, version: int = 1) -> GrantLease:
    """Return a lease as a process of its own has it, which has read this version of the grant."""
    known = StoredToken(grant, version, grant.created_at)
    return GrantLease(LeaseRepository(database, seconds=seconds), AccessTokenRepository(database), known)


async def leases_left(database: Database) -> int:
    """Return how many leases are held."""
    async with database.engine.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(database.tables.leases))).scalar_one()


async def test_a_refresh_sends_few_statements(
    make_settings: Callable[..., Settings], database_url: str, hub: LocalHub
) -> None:
    """On PostgreSQL three after the look-up: lease and grant, grant and lease, and whether the token was revoked."""
    async with ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True)) as zaikio:
        token = await persons_token(zaikio, hub, left=-1)
        with statements_of(await engine_of(zaikio)) as sent:
            await zaikio.refresh(token)
    verbs = [statement.split()[0] for statement in sent]
    apart = ["SELECT", "INSERT", "SELECT", "UPDATE", "UPDATE", "DELETE"]
    assert verbs == (apart if database_url.startswith("sqlite") else ["SELECT", "WITH", "WITH", "UPDATE"])


async def test_whoever_acquires_it_sees_what_was_stored_last(database: Database, grant: AccessToken) -> None:
    """Eight processes take turns, and store right before they release: nobody acts on an older version."""
    latest, stale, turns = 1, [], 25

    async def take_turns() -> None:
        nonlocal latest
        tokens = AccessTokenRepository(database)
        for _ in range(turns):
            lease = lease_of(database, grant, seconds=60)
            while not await lease.acquire():
                await asyncio.sleep(0)
            async with lease.held():
                seen = lease.take_grant() or await tokens.get(grant.id)
                assert seen is not None
                if seen.version != latest:
                    stale.append((seen.version, latest))
                latest += 1
                stored = await tokens.replace(seen, seen.access_token, lease=lease)
                assert stored is not None and stored.version == seen.version + 1

    await asyncio.gather(*(take_turns() for _ in range(8)))

    assert stale == []
    assert latest == 8 * turns + 1
    assert await leases_left(database) == 0


async def test_a_grant_that_is_gone_leaves_no_lease(database: Database, grant: AccessToken) -> None:
    """Its row is not there, or is revoked."""
    await AccessTokenRepository(database).delete(grant.id)
    lease = lease_of(database, grant)
    if await lease.acquire():
        async with lease.held():
            assert lease.take_grant() is None
    assert await leases_left(database) == 0


async def test_a_grant_that_no_key_decrypts_leaves_no_lease(
    database: Database, database_url: str, grant: AccessToken
) -> None:
    """Another process has refreshed it. The error is that of any look-up, and nobody waits for a lease because of it."""
    other = Database(database_url.replace("sqlite://", "sqlite+aiosqlite://"), [OTHER_KEY])
    lease = lease_of(other, grant, version=0)
    with pytest.raises(DecryptionError):
        if await lease.acquire():
            async with lease.held():
                await AccessTokenRepository(other).get(grant.id)
    assert await leases_left(database) == 0
    await other.aclose()


async def test_what_was_read_before_a_take_over_is_read_again(database: Database, grant: AccessToken) -> None:
    """The one who has held it may have stored something after that."""
    stopped = lease_of(database, grant)
    assert await stopped.acquire()
    waiting = lease_of(database, grant)
    async with asyncio.timeout(10):
        while not await waiting.acquire():
            assert (seen := waiting.take_grant()) is None or seen.version == 1
            await asyncio.sleep(0.05)
    assert waiting.taken_over
    assert waiting.take_grant() is None
    assert await stopped.lost()
    async with waiting.held():
        pass
    assert await leases_left(database) == 0


async def test_a_result_does_not_release_the_lease_of_another(database: Database, grant: AccessToken) -> None:
    """A process that was stopped and has lost its lease stores what it has got, and the other one keeps the lease."""
    tokens = AccessTokenRepository(database)
    stopped, waiting = lease_of(database, grant), lease_of(database, grant)
    assert await stopped.acquire()
    async with asyncio.timeout(10):
        while not await waiting.acquire():
            await asyncio.sleep(0.05)
    row = await tokens.get(grant.id)
    assert row is not None
    assert await tokens.replace(row, grant, lease=stopped) is not None
    assert await leases_left(database) == 1
    assert not await waiting.lost()
