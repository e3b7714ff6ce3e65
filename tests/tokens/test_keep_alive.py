"""A daily job that keeps connections alive which nobody uses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from tests.apps import small_app
from tests.inside import engine_of, parts_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, TokenEvent, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.tables import Tables
from zaikio_oauth.testing import LocalHub

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def events() -> list[TokenEvent]:
    return []


@pytest.fixture
def settings(make_settings: Callable[..., Settings], database: Database, database_url: str) -> Settings:
    return make_settings(database_url=database_url, cache_ttl=0)


@pytest.fixture
async def zaikio(settings: Settings, events: list[TokenEvent]) -> AsyncIterator[ZaikioOAuth]:
    async with ZaikioOAuth(settings, on_token_event=events.append) as opened:
        yield opened


async def connect(
    zaikio: ZaikioOAuth, hub: LocalHub, *, dies_in: timedelta, client: str = "", bearer_type: str = "Organization"
) -> AccessToken:
    """Connect a new organization, or log a new person in, so long ago that the refresh token dies soon."""
    hub.auto_consent(hub.add_person("Some", "Body", "somebody@example.com").id)
    visitor = Visitor(small_app(zaikio))
    flow = "connections" if bearer_type == "Organization" else "sessions"
    await visitor.log_in(f"/zaikio/{client}{flow}/new")
    await visitor.aclose()
    table = Tables().access_tokens
    stored = await newest(zaikio, bearer_type, client)
    dies_at = datetime.now(UTC) + dies_in
    values = {"expires_at": datetime.now(UTC) - HOUR, "refresh_expires_at": dies_at}
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(update(table).where(table.c.id == stored).values(**values))
    found = await (await parts_of(zaikio)).access_tokens.get(stored)
    assert found is not None
    return found.access_token


async def newest(zaikio: ZaikioOAuth, bearer_type: str, client: str) -> str:
    connections = [each async for each in zaikio.connections(client.strip("/") or None, bearer_type)]
    return max(connections, key=lambda each: each.connected_at).access_token_id


async def test_what_would_die_soon_is_refreshed(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """Within two days, for every client and for both types of bearers; then it is healthy for a week."""
    dying = [
        await connect(zaikio, hub, dies_in=2 * DAY - HOUR),
        await connect(zaikio, hub, dies_in=HOUR),
        await connect(zaikio, hub, dies_in=HOUR, client="kiosk/", bearer_type="Person"),
    ]
    later = await connect(zaikio, hub, dies_in=2 * DAY + HOUR)
    dead = await connect(zaikio, hub, dies_in=-HOUR)

    assert await zaikio.keep_alive() == 3
    assert await zaikio.keep_alive() == 0

    health = {each.access_token_id: each async for each in zaikio.connections()}
    assert [health[token.id].health for token in [*dying[:2], later, dead]] == ["ok", "ok", "ok", "lost"]
    assert health[dying[0].id].refreshed_at is not None
    assert (health[dying[0].id].refresh_expires_at or datetime.now(UTC)) > datetime.now(UTC) + 6 * DAY
    assert hub.count(grant_type="refresh_token") == 3


async def test_jobs_on_several_hosts_make_one_request_per_connection(
    zaikio: ZaikioOAuth, settings: Settings, hub: LocalHub
) -> None:
    """Cron starts them in the same second."""
    for _ in range(6):
        await connect(zaikio, hub, dies_in=HOUR)
    hub.fail("refresh_token", latency=0.1, times=None)

    async with ZaikioOAuth(settings) as second, ZaikioOAuth(settings) as third:
        await asyncio.gather(*(each.keep_alive() for each in (zaikio, second, third)))

    assert hub.count(grant_type="refresh_token") == 6
    assert [each.health async for each in zaikio.connections()] == ["ok"] * 6


async def test_what_another_host_has_refreshed_is_not_refreshed_again(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """It comes to it a moment later, with what it has read before."""
    await connect(zaikio, hub, dies_in=HOUR)
    (read_before,) = [each async for each in zaikio.connections()]
    assert await zaikio.keep_alive() == 1

    assert not await (await parts_of(zaikio)).keep_alive._refreshed(read_before)

    assert hub.count(grant_type="refresh_token") == 1


async def test_a_failure_does_not_stop_the_rest(
    zaikio: ZaikioOAuth, hub: LocalHub, events: list[TokenEvent], caplog: pytest.LogCaptureFixture
) -> None:
    """It is a warning and an event that say whose connection it is; what the Hub refuses is lost from then on."""
    refused = [await connect(zaikio, hub, dies_in=HOUR) for _ in range(2)]
    hub.spend_refresh_tokens()
    unreadable = await connect(zaikio, hub, dies_in=HOUR)
    table = Tables().access_tokens
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(update(table).where(table.c.id == unreadable.id).values(token="garbage"))
    fine = [await connect(zaikio, hub, dies_in=HOUR) for _ in range(3)]
    events.clear()

    with caplog.at_level(logging.WARNING, "zaikio_oauth"):
        kept = await (await parts_of(zaikio)).keep_alive.run()

    assert (kept.refreshed, kept.failed) == (3, 3)
    told = {event.access_token_id: event for event in events if event.kind == "lost"}
    assert set(told) == {token.id for token in refused}
    assert all(event.bearer_type == "Organization" and event.bearer_id for event in told.values())
    assert all(event.access_token_id for event in events if event.kind == "refused")
    assert f"Access token {unreadable.id} is not kept alive" in caplog.text
    assert not [token for token in [*refused, *fine] if token.token in caplog.text]


async def test_a_hub_that_does_not_answer_is_not_asked_for_all(
    zaikio: ZaikioOAuth, hub: LocalHub, events: list[TokenEvent], caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt takes long then, and the next day is still in time."""
    connected = [await connect(zaikio, hub, dies_in=HOUR) for _ in range(30)]
    # Longer than we wait, so that each attempt is over at once.
    hub.rate_limit("/oauth", reset_in=3000, times=None)
    events.clear()

    assert await zaikio.keep_alive() == 0

    refused = [event for event in events if event.kind == "refused"]
    assert 20 <= len(refused) < 30
    assert {event.error for event in refused} == {"temporarily_unavailable"}
    assert {event.access_token_id for event in refused} <= {token.id for token in connected}
    assert "the rest of the connections is left for the next keep-alive" in caplog.text
