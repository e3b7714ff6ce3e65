"""Difficult conditions: a small pool and a slow Hub, HTTP 429, wrong clocks, PgBouncer, a restarted database server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data import SECRET, some_access_token
from tests.environment.pgbouncer import pgbouncer
from tests.environment.plugin import unavailable
from tests.visitor import BASE_URL, expiring_token
from zaikio_oauth import Settings, ZaikioOAuth
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import HubApp, HubServer, LocalHub


async def test_two_connections_are_enough_while_the_hub_is_slow(
    make_settings: Callable[..., Settings], hub: LocalHub, database: Database, database_url: str
) -> None:
    """While thirty callers wait five seconds for one refresh, a hundred look-ups of another token succeed."""
    options = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 4}
    async with ZaikioOAuth(make_settings(database_url=database_url, cache_ttl=0), engine_options=options) as zaikio:
        token = await expiring_token(zaikio, hub)
        other = await expiring_token(zaikio, hub)
        hub.fail("refresh_token", latency=5, times=None)
        waiting = [asyncio.create_task(zaikio.find_active_access_token(token.id)) for _ in range(30)]
        await asyncio.sleep(0.2)
        answered = await asyncio.gather(*(zaikio.find_active_access_token(other.id, valid_for=0) for _ in range(100)))
        still_waiting = [caller for caller in waiting if not caller.done()]
        refreshed = await asyncio.gather(*waiting)

    assert answered == [other] * 100
    assert len(still_waiting) == 30
    assert len({each.token for each in refreshed if each}) == 1
    assert hub.count(grant_type="refresh_token") == 1


async def test_http_429_is_handled_by_one_caller_at_a_time(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Fifty callers and three responses with HTTP 429 cause four requests, and every caller gets the token."""
    organization = hub.organizations[0].id
    hub.grant("warehouse-id", "Organization", organization, ["zaikio.organization.r"])
    hub.rate_limit("client_credentials", reset_in=0, times=3)

    tokens = await asyncio.gather(
        *(zaikio.get_access_token(bearer_type="Organization", bearer_id=organization) for _ in range(50))
    )

    assert len({token.id for token in tokens}) == 1
    assert hub.count(grant_type="client_credentials") == 4


@pytest.mark.parametrize("ahead", [3600, -3600], ids=["an hour ahead", "an hour behind"])
async def test_a_hub_clock_that_is_wrong_by_an_hour_has_no_effect(
    make_settings: Callable[..., Settings], ahead: int
) -> None:
    """An expiry is calculated from our own time of the response."""
    hub = LocalHub(
        [HubApp.for_client("warehouse", "warehouse-id", SECRET, base_urls=[BASE_URL])],
        clock=lambda: time.time() + ahead,
    )
    with HubServer(hub) as server:
        async with ZaikioOAuth(make_settings(host=server.url)) as zaikio:
            token = await expiring_token(zaikio, hub)
            assert 0 < token.expires_in <= 20
            refreshed = await zaikio.find_active_access_token(token.id)
            assert refreshed is not None
            assert 3500 < refreshed.expires_in <= 3600
            assert await zaikio.find_active_access_token(token.id) == refreshed
    assert hub.count(grant_type="refresh_token") == 1


@pytest.mark.postgresql
async def test_a_connection_lost_while_idle_is_replaced(postgresql_url: str, make_settings: Any) -> None:
    """The next look-up succeeds after the server has restarted or a firewall has dropped the connection."""
    database = Database(postgresql_url, ["q0gQkeYGmvqMHmRpgPUMhFIyPJNCwyC0OBqVqo5JjXw="])
    await database.open(auto_migrate=True)
    tokens = AccessTokenRepository(database)
    stored = await tokens.add(some_access_token())
    assert await tokens.get(stored.id)
    import asyncpg

    admin = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    await admin.close()
    await asyncio.sleep(0.1)

    assert await tokens.get(stored.id)
    await database.aclose()


@pytest.fixture
def pgbouncer_url(postgresql_url: str, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a real PgBouncer in transaction mode with two server connections."""
    command = os.environ.get("ZAIKIO_TEST_PGBOUNCER") or unavailable("pgbouncer", "it was not found")
    with pgbouncer(command, postgresql_url, tmp_path) as url:
        yield f"{url}?pgbouncer=true"


@pytest.fixture
async def behind_pgbouncer(
    pgbouncer_url: str, postgresql_url: str, make_settings: Callable[..., Settings]
) -> AsyncIterator[list[ZaikioOAuth]]:
    """Yield three instances that use the pooler, like three processes."""
    migrated = Database(postgresql_url, ["q0gQkeYGmvqMHmRpgPUMhFIyPJNCwyC0OBqVqo5JjXw="])
    await migrated.open(auto_migrate=True)
    await migrated.aclose()
    several = [ZaikioOAuth(make_settings(database_url=pgbouncer_url)) for _ in range(3)]
    for zaikio in several:
        await zaikio.__aenter__()
    yield several
    for zaikio in several:
        await zaikio.__aexit__(None, None, None)


@pytest.mark.postgresql
async def test_one_refresh_works_behind_pgbouncer_in_transaction_mode(
    behind_pgbouncer: list[ZaikioOAuth], hub: LocalHub
) -> None:
    """Sixty callers with three pools and two server connections make one request, and all of them get the token."""
    token = await expiring_token(behind_pgbouncer[0], hub)
    hub.fail("refresh_token", latency=0.3, times=None)

    tokens = await asyncio.gather(
        *(zaikio.find_active_access_token(token.id) for zaikio in behind_pgbouncer for _ in range(20))
    )

    assert len({each.token for each in tokens if each}) == 1
    assert None not in tokens
    assert hub.count(grant_type="refresh_token") == 1
