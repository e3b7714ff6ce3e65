"""A database that fails, on real servers: a typed error within the waits, then everything works again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.apps import small_app
from tests.environment.plugin import own_postgresql_server
from tests.environment.postgresql import PostgresqlServer
from tests.environment.tcp_proxy import TcpProxy
from tests.inside import engine_of, mark_revoked
from tests.visitor import Visitor, expiring_token
from zaikio_oauth import AccessToken, ConfigurationError, Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import STATEMENT_DEADLINE
from zaikio_oauth.testing import LocalHub

pytestmark = pytest.mark.postgresql

# The machine that runs the tests may be busy.
SLACK = 4.0


class Setup:
    """A ZaikioOAuth that reaches PostgreSQL by a proxy, and the administrator's own connection to its database."""

    def __init__(self, zaikio: ZaikioOAuth, proxy: TcpProxy, admin: asyncpg.Connection[Any], name: str) -> None:
        self.zaikio = zaikio
        self.proxy = proxy
        self.admin = admin
        self.name = name

    async def terminate(self) -> None:
        """End every backend but the administrator's."""
        await self.admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1",
            self.name,
        )

    async def backends(self) -> int:
        """Return how many connections there are beside the administrator's."""
        count: int = await self.admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1", self.name
        )
        return count


@pytest.fixture
async def setup(postgresql_url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Setup]:
    """Yield it with two connections at most and without a cache."""
    name = postgresql_url.rpartition("/")[2]
    admin = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await admin.execute(f'CREATE ROLE "{name}" LOGIN')
    await admin.execute(f'GRANT ALL ON SCHEMA public TO "{name}"')
    as_role = postgresql_url.replace("zaikio@", f"{name}@")
    with TcpProxy.to(postgresql_url) as proxy:
        settings = make_settings(database_url=proxy.url(as_role), cache_ttl=0, auto_migrate=True)
        async with ZaikioOAuth(settings, engine_options={"pool_size": 2, "max_overflow": 0}) as zaikio:
            yield Setup(zaikio, proxy, admin, name)
            proxy.restore()
    await admin.close()


@asynccontextmanager
async def refused(setup: Setup) -> AsyncIterator[None]:
    """The server is down."""
    setup.proxy.refuse()
    yield
    setup.proxy.restore()


@asynccontextmanager
async def stalled(setup: Setup) -> AsyncIterator[None]:
    """The network swallows every packet."""
    setup.proxy.stall()
    yield
    setup.proxy.restore()


@asynccontextmanager
async def locked(setup: Setup) -> AsyncIterator[None]:
    """Somebody else holds a lock on the tables."""
    async with setup.admin.transaction():
        await setup.admin.execute("LOCK TABLE zaikio_access_tokens, zaikio_leases")
        yield


@asynccontextmanager
async def impatient(setup: Setup) -> AsyncIterator[None]:
    """The server ends a statement before we do."""
    await setup.admin.execute(f"ALTER ROLE \"{setup.name}\" SET statement_timeout = '200ms'")
    await setup.terminate()
    async with locked(setup):
        yield
    await setup.admin.execute(f'ALTER ROLE "{setup.name}" RESET statement_timeout')
    await setup.terminate()


@asynccontextmanager
async def full(setup: Setup) -> AsyncIterator[None]:
    """The server accepts no more connections."""
    await setup.admin.execute(f'ALTER ROLE "{setup.name}" CONNECTION LIMIT 0')
    await setup.terminate()
    yield
    await setup.admin.execute(f'ALTER ROLE "{setup.name}" CONNECTION LIMIT -1')


@asynccontextmanager
async def busy(setup: Setup) -> AsyncIterator[None]:
    """All connections of the pool are in use."""
    engine = await engine_of(setup.zaikio)
    async with engine.connect(), engine.connect():
        yield


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (refused, "it cannot be reached"),
        (stalled, "a statement took too long|it cannot be reached|its connection was lost"),
        (locked, "a statement took too long"),
        (impatient, "a statement took too long"),
        (full, "it has no free connections"),
        (busy, "it has no free connections"),
    ],
)
async def test_a_fault_is_a_typed_error_in_time_and_passes(
    setup: Setup, hub: LocalHub, fault: Callable[[Setup], Any], reason: str
) -> None:
    """Look-ups and requests for a token fail within the waits; afterwards they work without a restart."""
    zaikio, hub_grant = setup.zaikio, await granted(hub)
    token = await expiring_token(zaikio, hub)
    calls: list[Callable[[], Awaitable[AccessToken | None]]] = [
        lambda: zaikio.find_active_access_token(token.id, valid_for=0),
        lambda: zaikio.get_access_token(**hub_grant),
    ]
    async with fault(setup):
        started = time.monotonic()
        errors = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
        elapsed = time.monotonic() - started

    assert [type(error) for error in errors] == [StoreUnavailableError] * 2, errors
    for error in errors:
        assert isinstance(error, StoreUnavailableError)
        assert error.may_pass
        assert any(each in error.reason for each in reason.split("|")), error
    assert elapsed < STATEMENT_DEADLINE + SLACK
    assert all(await asyncio.gather(*(call() for call in calls)))
    await nothing_left_behind(setup)


async def test_a_read_only_server_reads_and_says_so_when_it_is_to_write(setup: Setup, hub: LocalHub) -> None:
    """After a failover the old connections are replaced."""
    zaikio, hub_grant = setup.zaikio, await granted(hub)
    token = await expiring_token(zaikio, hub)
    await setup.admin.execute(f'ALTER ROLE "{setup.name}" SET default_transaction_read_only = on')
    await setup.terminate()
    assert await zaikio.find_active_access_token(token.id, valid_for=0)
    with pytest.raises(StoreUnavailableError, match="it is read-only"):
        await zaikio.get_access_token(**hub_grant)

    # The connections that were opened meanwhile stay read-only.
    await setup.admin.execute(f'ALTER ROLE "{setup.name}" RESET default_transaction_read_only')
    assert await zaikio.get_access_token(**hub_grant)
    await nothing_left_behind(setup)


async def test_a_backend_that_is_killed_in_a_statement_costs_nobody_anything(setup: Setup, hub: LocalHub) -> None:
    """The statement is tried once more on a new connection."""
    token = await expiring_token(setup.zaikio, hub)
    async with locked(setup):
        reading = asyncio.create_task(setup.zaikio.find_active_access_token(token.id, valid_for=0))
        while not await setup.admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)
        await setup.terminate()
        await asyncio.sleep(0.2)
    assert await reading == token
    await nothing_left_behind(setup)


@pytest.mark.parametrize("by", ["revoke", "logout"])
async def test_a_deletion_whose_answer_is_lost_revokes_what_it_has_deleted(
    setup: Setup, hub: LocalHub, by: str
) -> None:
    """The row is gone when it is tried again; what was in it, which the caller never held, ends at the Hub."""
    token = await expiring_token(setup.zaikio, hub)
    fresh = await setup.zaikio.refresh(token)
    visitor = Visitor(small_app(setup.zaikio))
    await visitor.app.post("/remember", json={"zaikio_access_token_id": token.id})
    await setup.admin.execute(
        "CREATE FUNCTION slowly() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(1); RETURN OLD; END' LANGUAGE plpgsql; "
        "CREATE TRIGGER slowly BEFORE DELETE ON zaikio_access_tokens FOR EACH ROW EXECUTE FUNCTION slowly()"
    )

    async def give_up() -> None:
        if by == "logout":
            await visitor.app.delete("/zaikio/session")
            return
        with pytest.raises(StoreUnavailableError):
            await setup.zaikio.revoke(token)

    leaving = asyncio.create_task(give_up())
    while not await setup.admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
        await asyncio.sleep(0.02)
    setup.proxy.stall()
    while await setup.admin.fetchval("SELECT count(*) FROM zaikio_access_tokens"):
        await asyncio.sleep(0.02)
    await leaving
    assert fresh.jti not in hub.grants.revoked()
    setup.proxy.cut()
    setup.proxy.restore()
    if by == "revoke":
        await setup.zaikio.revoke(token)

    for _ in range(400):
        if fresh.jti in hub.grants.revoked():
            break
        await asyncio.sleep(0.05)
    assert fresh.jti in hub.grants.revoked()
    await visitor.aclose()


@pytest.mark.parametrize("again", ["by the statement itself", "by the next event and the next keep-alive"])
async def test_that_a_grant_is_lost_is_told_although_the_answer_is_lost(
    setup: Setup, hub: LocalHub, again: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is marked in the database then, but not by somebody who has told: one refused by the Hub, one revoked by it."""
    refused, revoked = await expiring_token(setup.zaikio, hub), await expiring_token(setup.zaikio, hub)
    hub.spend_refresh_tokens()
    await setup.admin.execute(
        "CREATE FUNCTION slowly() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END' LANGUAGE plpgsql; "
        "CREATE TRIGGER slowly BEFORE UPDATE OF lost_at ON zaikio_access_tokens "
        "FOR EACH ROW EXECUTE FUNCTION slowly()"
    )
    losing = asyncio.gather(
        setup.zaikio.refresh(refused), mark_revoked(setup.zaikio, [revoked.jti or ""]), return_exceptions=True
    )
    while await setup.admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") < 2:
        await asyncio.sleep(0.02)
    setup.proxy.stall()
    while await setup.admin.fetchval("SELECT count(*) FROM zaikio_access_tokens WHERE lost_at IS NOT NULL") < 2:
        await asyncio.sleep(0.02)
    if again == "by the statement itself":
        setup.proxy.cut()
        setup.proxy.restore()
        await losing
    else:
        await losing
        assert "token lost" not in caplog.text
        setup.proxy.cut()
        setup.proxy.restore()
        await setup.admin.execute("UPDATE zaikio_access_tokens SET expires_at = now() - interval '1 hour'")

    for _ in range(2):
        await mark_revoked(setup.zaikio, [revoked.jti or ""])
        await setup.zaikio.keep_alive()
    told = sorted(record.zaikio_access_token_id for record in caplog.records if record.message.startswith("token lost"))
    assert told == sorted([refused.id, revoked.id])


async def test_what_the_hub_issues_during_an_outage_is_stored_after_it(
    setup: Setup, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused for ten seconds: the refreshed token and the new one are stored, and the Hub was asked once for each."""
    zaikio, hub_grant = setup.zaikio, await granted(hub)
    token = await expiring_token(zaikio, hub)
    hub.fail("refresh_token", latency=1)
    hub.fail("client_credentials", latency=1)
    page = asyncio.create_task(zaikio.find_active_access_token(token.id, valid_for=3600))
    job = asyncio.create_task(zaikio.get_access_token(**hub_grant))
    await asyncio.sleep(0.6)
    setup.proxy.refuse()
    await asyncio.sleep(10)
    assert not job.done()
    setup.proxy.restore()

    refreshed, issued = await asyncio.gather(page, job)
    assert refreshed is not None
    assert refreshed.token != token.token
    assert await zaikio.find_active_access_token(token.id, valid_for=0) == refreshed
    assert await zaikio.find_usable_access_token(**hub_grant) == issued
    assert (hub.count(grant_type="refresh_token"), hub.count(grant_type="client_credentials")) == (1, 1)
    assert f"Access token {token.id} is kept in memory until it can be stored" in caplog.text
    assert token.token not in caplog.text
    await nothing_left_behind(setup)


async def granted(hub: LocalHub) -> dict[str, Any]:
    """Let the organization grant a scope; return what to ask for."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return {"bearer_type": "Organization", "bearer_id": hub.organizations[0].id}


async def nothing_left_behind(setup: Setup) -> None:
    """Wait until the pool has all its connections back and the server has no others."""
    engine = await engine_of(setup.zaikio)
    async with asyncio.timeout(STATEMENT_DEADLINE + SLACK):
        while engine.pool.checkedout() or await setup.backends() > engine.pool.checkedin():
            await asyncio.sleep(0.05)


@pytest.fixture
def own_server() -> Iterator[PostgresqlServer]:
    """Yield a server that may be killed."""
    with own_postgresql_server() as server:
        yield server


async def test_a_server_that_crashes_and_comes_back_loses_nothing(
    own_server: PostgresqlServer, make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """It is killed while the Hub refreshes a token; look-ups fail with a typed error until it is back."""
    settings = make_settings(database_url=own_server.url("postgres"), cache_ttl=0, auto_migrate=True)
    async with ZaikioOAuth(settings) as zaikio:
        token, other = await expiring_token(zaikio, hub), await expiring_token(zaikio, hub)
        hub.fail("refresh_token", latency=1)
        page = asyncio.create_task(zaikio.find_active_access_token(token.id, valid_for=3600))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_server.crash)
        with pytest.raises(StoreUnavailableError):
            await zaikio.find_active_access_token(other.id, valid_for=0)
        await asyncio.sleep(1)
        await asyncio.to_thread(own_server.restart)

        refreshed = await page
        assert refreshed is not None
        assert refreshed.token != token.token
        assert await zaikio.find_active_access_token(other.id, valid_for=0) == other
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_server_that_comes_up_late_is_waited_for(
    postgresql_url: str, make_settings: Callable[..., Settings]
) -> None:
    """An app and its database are often started together; a call without start-up gets the error at once."""
    with TcpProxy.to(postgresql_url) as proxy:
        zaikio = ZaikioOAuth(make_settings(database_url=proxy.url(postgresql_url), auto_migrate=True))
        proxy.refuse()
        with pytest.raises(StoreUnavailableError, match="check ZAIKIO_DATABASE_URL and whether the server is running"):
            await zaikio.find_active_access_token("nobody")
        entering = asyncio.create_task(zaikio.__aenter__())
        await asyncio.sleep(2)
        proxy.restore()
        await entering
        assert await zaikio.find_active_access_token("nobody") is None
        await zaikio.__aexit__(None, None, None)


async def test_a_database_that_does_not_exist_is_not_waited_for(
    postgresql_url: str, make_settings: Callable[..., Settings]
) -> None:
    """It will not appear by itself."""
    async with asyncio.timeout(SLACK):
        with pytest.raises(ConfigurationError, match="there is no database of that name"):
            await ZaikioOAuth(make_settings(database_url=f"{postgresql_url}-not")).__aenter__()
