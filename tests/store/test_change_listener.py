"""Changes by other processes, which PostgreSQL notifies everybody of."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool, StaticPool

from tests.data import KEY
from tests.environment.pgbouncer import pgbouncer
from tests.environment.plugin import unavailable
from tests.environment.tcp_proxy import TcpProxy
from tests.faults.processes import installation
from tests.faults.stage import WEBHOOK_SECRET
from tests.inside import engine_of, mark_revoked, parts_of
from tests.loom import deliver_until_taken
from tests.store.statements_sent import statements_of
from tests.tokens.due_tokens import persons_token
from zaikio_oauth import AccessToken, InvalidTokenError, Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.testing import LocalHub

pytestmark = pytest.mark.postgresql

FOR_EVER = 600.0
"""A ``cache_ttl`` that does not end while a test runs: what is noticed is noticed by a notification."""

Opened = Callable[..., Awaitable[ZaikioOAuth]]


@pytest.fixture
async def opened(make_settings: Callable[..., Settings], postgresql_url: str) -> AsyncIterator[Opened]:
    """Yield a function that opens another ZaikioOAuth on one database, and waits until it listens."""
    entered: list[ZaikioOAuth] = []

    async def make(*, listening: bool = True, **changes: Any) -> ZaikioOAuth:
        defaults = {"database_url": postgresql_url, "auto_migrate": True, "cache_ttl": FOR_EVER}
        settings = make_settings(**defaults | changes)
        zaikio = ZaikioOAuth(settings)
        await zaikio.__aenter__()
        entered.append(zaikio)
        if listening:
            await until_it_listens(zaikio)
        return zaikio

    yield make
    for zaikio in entered:
        await zaikio.__aexit__(None, None, None)


async def until_it_listens(zaikio: ZaikioOAuth) -> None:
    """Return as soon as it would notice a change."""
    changes = (await parts_of(zaikio)).changes
    async with asyncio.timeout(20):
        while changes.version() is None:
            await asyncio.sleep(0.02)


async def listeners(zaikio: ZaikioOAuth) -> list[int]:
    """Return the process ids of the server's connections on which somebody listens."""
    query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_listening_channels()%'"
    return list((await sql(zaikio, query)).scalars())


async def sql(zaikio: ZaikioOAuth, statement: str) -> Any:
    """Send a statement of our own."""
    async with (await engine_of(zaikio)).connect() as connection:
        return await connection.execute(text(statement))


async def grants(zaikio: ZaikioOAuth, hub: LocalHub, count: int) -> list[AccessToken]:
    """Return tokens of persons who have logged in."""
    aged = [await persons_token(zaikio, hub, left=3600) for _ in range(count)]
    stored = [await zaikio.find_active_access_token(token.id) for token in aged]
    return [token for token in stored if token is not None]


async def noticed(look: Callable[[], Awaitable[object]], expected: object, *, within: float = 1.0) -> float:
    """Return after how many seconds that is seen, which has to be soon."""
    started = time.monotonic()
    async with asyncio.timeout(within):
        while await look() != expected:
            await asyncio.sleep(0.005)
    return time.monotonic() - started


# ── what is noticed ────────────────────────────────────────────────────────────────────────────────


async def test_what_another_process_changes_is_noticed_at_once(opened: Opened, hub: LocalHub) -> None:
    """A newer token, a refresh, a logout, a revocation: although what was read could be used for ten minutes."""
    one, other = await opened(), await opened()
    first, second, third = await grants(one, hub, 3)

    async def newest() -> AccessToken | None:
        return await other.find_usable_access_token(bearer_type="Person", bearer_id=first.bearer_id)

    async def shown(token: AccessToken) -> AccessToken | None:
        return await other.find_active_access_token(token.id)

    assert [await shown(token) for token in (first, second, third)] == [first, second, third]
    assert await newest() == first
    refreshed = await one.refresh(first)
    assert await noticed(lambda: shown(first), refreshed) < 1
    newer = await (await parts_of(one)).grants.add(
        first.model_copy(update={"token": "newer", "created_at": datetime.now(UTC)})
    )
    assert await noticed(newest, newer) < 1
    await one.revoke(second)
    assert await noticed(lambda: shown(second), None) < 1
    await mark_revoked(one, [third.jti or ""])
    assert await noticed(lambda: shown(third), None) < 1


async def test_the_revocation_of_a_bearer_token_is_noticed_at_once(opened: Opened, hub: LocalHub) -> None:
    """Such a token is stored nowhere, but that it is not revoked is remembered."""
    one, other = await opened(), await opened()
    token = hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r")
    bearer = await other.verify_bearer_token(token)
    await mark_revoked(one, [bearer.jti])

    async def refused() -> bool:
        try:
            return not await other.verify_bearer_token(token)
        except InvalidTokenError:
            return True

    assert await noticed(refused, True) < 1


async def test_a_process_does_not_notify_itself(opened: Opened, hub: LocalHub) -> None:
    """It knows what it has changed, and has removed it already: what it has read since is kept."""
    zaikio = await opened()
    (token,) = await grants(zaikio, hub, 1)
    refreshed = await zaikio.refresh(token)
    assert await zaikio.find_active_access_token(token.id) == refreshed
    with statements_of(await engine_of(zaikio)) as sent:
        await asyncio.sleep(0.3)
        assert await zaikio.find_active_access_token(token.id) == refreshed
    assert sent == []


async def test_rows_that_were_changed_by_hand_can_be_told_of(opened: Opened, hub: LocalHub) -> None:
    """By ``NOTIFY zaikio_changes``, after which every process reads everything anew."""
    one, other = await opened(), await opened()
    (token,) = await grants(one, hub, 1)
    assert await other.find_active_access_token(token.id) == token
    await sql(one, "DELETE FROM zaikio_access_tokens")
    await asyncio.sleep(0.3)
    assert await other.find_active_access_token(token.id) == token
    await sql(one, "NOTIFY zaikio_changes")
    assert await noticed(lambda: other.find_active_access_token(token.id), None) < 1


async def test_a_revocation_reaches_all_processes(postgresql_url: str) -> None:
    """Loom tells one of four processes, and the other three refuse the token at once."""
    times: list[float] = []
    async with installation(postgresql_url) as installed:
        told, *others = await asyncio.to_thread(installed.start, 4)
        for _ in range(10):
            browser = await installed.log_in(told)
            tabs = [browser.at(process) for process in others]
            while {status for status, _ in await asyncio.gather(*(tab.page() for tab in tabs))} != {200}:
                pass
            (issued,) = installed.issued(browser.person)
            started = time.monotonic()
            assert (
                await deliver_until_taken(browser.app, *installed.hub.webhook_event(issued.jti, WEBHOOK_SECRET)) == 200
            )
            waits = [noticed(lambda tab=tab: tab.page(), (401, None), within=10) for tab in tabs]
            await asyncio.gather(*waits)
            times.append(time.monotonic() - started)
    # The first ones come before all of them listen.
    assert statistics.median(times) < 1, times


# ── how long what was read is used ─────────────────────────────────────────────────────────────────


async def test_what_has_not_changed_is_not_read_again(opened: Opened, hub: LocalHub) -> None:
    """As long as it listens, long after ``cache_ttl``: neither a grant nor whether a bearer token is revoked."""
    zaikio = await opened(cache_ttl=0.4)
    (token,) = await grants(zaikio, hub, 1)
    bearer = hub.mint_token("warehouse-id", hub.people[0].id, "zaikio.person.r")

    async def look() -> None:
        assert await zaikio.find_active_access_token(token.id) == token
        found = await zaikio.find_usable_access_token(bearer_type="Person", bearer_id=token.bearer_id)
        assert found == token
        await zaikio.verify_bearer_token(bearer)

    await look()
    with statements_of(await engine_of(zaikio)) as sent:
        for _ in range(10):
            await asyncio.sleep(0.2)
            await look()
    assert sent == []


async def test_a_token_that_is_due_is_read_again(opened: Opened, hub: LocalHub) -> None:
    """After ``cache_ttl``, because another process may have noted that it cannot be renewed now."""
    zaikio = await opened(cache_ttl=0.4, refresh_ahead=0)
    token = await persons_token(zaikio, hub, left=60)
    await zaikio.find_active_access_token(token.id, valid_for=0)
    later = await opened(cache_ttl=0.4, refresh_ahead=300)
    hub.fail("refresh_token", status=500)
    found = await later.find_active_access_token(token.id, valid_for=0)
    assert found is not None and found.token == token.token
    with statements_of(await engine_of(later)) as sent:
        await asyncio.sleep(0.6)
        assert await later.find_active_access_token(token.id, valid_for=0) == found
    assert any(statement.startswith("SELECT") for statement in sent)


async def test_a_silent_network_makes_nothing_stale(opened: Opened, hub: LocalHub, postgresql_url: str) -> None:
    """No packet arrives and no connection ends: after ``cache_ttl`` nothing is shown that may have changed."""
    with TcpProxy.to(postgresql_url) as proxy:
        here, there = await opened(), await opened(database_url=proxy.url(postgresql_url), cache_ttl=1)
        (token,) = await grants(here, hub, 1)
        await asyncio.sleep(1.5)
        assert await there.find_active_access_token(token.id) == token
        await asyncio.sleep(1.5)
        assert await there.find_active_access_token(token.id) == token
        proxy.stall()
        stalled = time.monotonic()
        await here.revoke(token)
        last_shown = stalled
        while time.monotonic() < stalled + 2:
            asked = time.monotonic()
            with suppress(StoreUnavailableError, TimeoutError):
                async with asyncio.timeout(0.2):
                    if await there.find_active_access_token(token.id):
                        last_shown = asked
            await asyncio.sleep(0.01)
        proxy.restore()
        assert last_shown - stalled < 1.1
        async with asyncio.timeout(20):
            while True:
                with suppress(StoreUnavailableError):
                    assert await there.find_active_access_token(token.id) is None
                    break


async def test_a_lost_connection_makes_nothing_stale(
    opened: Opened, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The server ends it: everything is read anew. One line in the log says so, and another one that it is over."""
    one, other = await opened(), await opened()
    tokens = await grants(one, hub, 2)
    assert [await other.find_active_access_token(token.id) for token in tokens] == tokens
    with caplog.at_level(logging.INFO, "zaikio_oauth"):
        for _ in range(2):
            for pid in await listeners(one):
                await sql(one, f"SELECT pg_terminate_backend({pid})")
            await mark_revoked(one, [tokens[0].jti or ""])
            assert await noticed(lambda: other.find_active_access_token(tokens[0].id), None) < 1
            await until_it_listens(other)
            await until_it_listens(one)
        assert await other.find_active_access_token(tokens[1].id) == tokens[1]
        await mark_revoked(one, [tokens[1].jti or ""])
        assert await noticed(lambda: other.find_active_access_token(tokens[1].id), None) < 1
    keys = [vars(record).get("zaikio_event") for record in caplog.records]
    assert keys.count("changes.not_noticed") == keys.count("changes.noticed") == 4


@pytest.mark.pgbouncer
async def test_behind_a_pooler_in_transaction_mode(
    opened: Opened, hub: LocalHub, postgresql_url: str, tmp_path_factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can listen there: it says so once, and what was read is used for ``cache_ttl`` as without."""
    command = os.environ.get("ZAIKIO_TEST_PGBOUNCER") or unavailable("pgbouncer", "it was not found")
    here = await opened()
    (token,) = await grants(here, hub, 1)
    # With one, because before version 1.21 a statement is known only on the server connection that has prepared it.
    with pgbouncer(command, postgresql_url, tmp_path_factory.mktemp("pooler"), default_pool_size="1") as url:
        there = await opened(database_url=url, cache_ttl=0.5, listening=False)
        assert await there.find_active_access_token(token.id) == token
        async with asyncio.timeout(10):
            while "changes.not_noticed" not in (keys := keys_in(caplog)):
                await asyncio.sleep(0.05)
        assert await there.find_active_access_token(token.id) == token
        await here.revoke(token)
        assert await noticed(lambda: there.find_active_access_token(token.id), None) < 0.7
        assert (await parts_of(there)).changes.version() is None
        await asyncio.sleep(1)
        assert keys_in(caplog) == keys
        await there.__aexit__(None, None, None)
        await there.__aenter__()


def keys_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the keys of the log lines about changes."""
    keys = (str(vars(record).get("zaikio_event")) for record in caplog.records)
    return [key for key in keys if key.startswith("changes.")]


# ── who listens ────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_listens_without_need(
    make_settings: Callable[..., Settings], postgresql_url: str, hub: LocalHub, opened: Opened
) -> None:
    """Neither without a cache, nor where the pooler is known, nor a short script, nor a command; and not after the end."""
    watching = await opened(cache_ttl=0, listening=False)
    (token,) = await grants(watching, hub, 1)
    for changes in ({"cache_ttl": 0}, {"database_url": f"{postgresql_url}?pgbouncer=true"}):
        zaikio = await opened(listening=False, **changes)
        await zaikio.find_active_access_token(token.id)
    script = ZaikioOAuth(make_settings(database_url=postgresql_url))
    await script.find_active_access_token(token.id)
    command = await opened(listening=False)
    assert await command.cleanup_access_tokens() == 0
    await asyncio.sleep(1)
    assert await listeners(watching) == []

    app = await opened()
    assert len(await listeners(watching)) == 1
    await app.__aexit__(None, None, None)
    async with asyncio.timeout(2):
        while await listeners(watching):
            await asyncio.sleep(0.02)
    await app.__aenter__()


@pytest.mark.parametrize("pool, listens", [(NullPool, True), (AsyncAdaptedQueuePool, True), (StaticPool, False)])
async def test_who_listens_with_a_pool_of_its_own(postgresql_url: str, pool: Any, listens: bool) -> None:
    """The listener takes no connection away: not the only one, either."""
    database = Database(postgresql_url, [KEY], poolclass=pool)
    changes = database.changes(5)
    changes.start()
    changes.needed()
    assert changes.version() is None
    await asyncio.sleep(0.5)
    assert (changes.version() is not None) == listens
    await changes.stop()
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    await database.aclose()


async def test_a_long_script_listens(
    make_settings: Callable[..., Settings], postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that nobody has entered begins a few seconds after it has read something."""
    monkeypatch.setattr("zaikio_oauth.store.change_listener.CHANGES_DELAY", 0.2)
    async with ZaikioOAuth(make_settings(database_url=postgresql_url, auto_migrate=True, cache_ttl=0)):
        script = ZaikioOAuth(make_settings(database_url=postgresql_url))
        await script.find_active_access_token("no-such-token")
        await until_it_listens(script)
