"""Renewal ahead of time: callers go on with a token that is due, while one request of all processes renews it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from sqlalchemy import text, update

from tests.apps import small_app
from tests.inside import engine_of, parts_of, settled
from tests.tokens.due_tokens import (
    a_minute_later,
    age,
    nobody_remembers,
    organizations_token,
    persons_token,
    row,
    two_processes,
)
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, TokenEvent, ZaikioAuth, ZaikioOAuth
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.testing import LocalHub

SCOPES = ["zaikio.person.r"]
Way = Callable[[ZaikioOAuth, AccessToken], Awaitable[AccessToken | None]]


async def by_page(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken | None:
    visitor = Visitor(small_app(zaikio))
    await visitor.app.post("/remember", json={"zaikio_access_token_id": token.id})
    response = await visitor.get("/me")
    await visitor.aclose()
    assert (response.status_code, response.json()["id"]) == (200, token.id)
    # The page shows no token: the one that it was given is the one that is stored.
    return await zaikio.find_active_access_token(token.id, valid_for=0)


async def by_id(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken | None:
    return await zaikio.find_active_access_token(token.id)


async def by_bearer(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken:
    return await zaikio.get_access_token(
        bearer_type=token.bearer_type, bearer_id=token.bearer_id, scopes=token.requested_scopes
    )


async def by_with_auth(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken:
    arguments: dict[str, Any] = {"bearer_type": token.bearer_type, "bearer_id": token.bearer_id}
    async with zaikio.with_auth(**arguments, scopes=token.requested_scopes) as given:
        return given


async def by_httpx(zaikio: ZaikioOAuth, token: AccessToken) -> AccessToken | None:
    """Return the token that a request to the Hub's API was sent with."""
    arguments: dict[str, Any] = {"bearer_type": token.bearer_type, "bearer_id": token.bearer_id}
    auth = ZaikioAuth(**arguments, scopes=token.requested_scopes, origin=zaikio.settings.host, zaikio=zaikio)
    async with httpx2.AsyncClient(auth=auth) as client:
        response = await client.get(f"{zaikio.settings.host}/api/v1/{token.bearer_type.lower()}")
    assert response.status_code == 200
    sent = response.request.headers["authorization"].removeprefix("Bearer ")
    return token.model_copy(update={"token": sent})


PERSONS: list[Way] = [by_page, by_id, by_bearer, by_with_auth, by_httpx]


@pytest.mark.parametrize("way", PERSONS)
async def test_a_token_that_is_due_is_refreshed_once(way: Way, processes: list[ZaikioOAuth], hub: LocalHub) -> None:
    """All callers in both processes get the token that they have, at once, and later the one of a single refresh."""
    token = await persons_token(processes[0], hub, left=600)
    await nobody_remembers(processes)
    hub.fail("refresh_token", latency=1.5, times=None)

    started = time.monotonic()
    given = await asyncio.gather(*(way(zaikio, token) for zaikio in processes for _ in range(5)))
    assert {each.token for each in given if each} == {token.token}
    assert hub.count(grant_type="refresh_token") == 0, f"waited for the Hub, {time.monotonic() - started:.1f} s"
    await asyncio.gather(*(settled(zaikio) for zaikio in processes))
    later = [await way(zaikio, token) for zaikio in processes for _ in range(5)]
    await asyncio.gather(*(settled(zaikio) for zaikio in processes))

    newest = await row(processes[0], token)
    assert {each.token for each in later if each} == {newest.access_token.token} != {token.token}
    assert (newest.access_token.id, newest.version) == (token.id, 2)
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_token_becomes_due_while_pages_have_it_at_hand(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """However long it is cached: a page that shows it then has it renewed, and an expired one is not shown."""
    hub.access_token_lifetime = 4
    async with ZaikioOAuth(make_settings(cache_ttl=600)) as zaikio:
        visitor = Visitor(small_app(zaikio))
        hub.auto_consent(person_id=hub.people[0].id)
        await visitor.log_in()
        views = [await visitor.get("/me") for _ in range(2)]
        await settled(zaikio)
        assert hub.count(grant_type="refresh_token") == 0
        await asyncio.sleep(2.2)
        views += [await visitor.get("/me") for _ in range(2)]
        await settled(zaikio)
        assert hub.count(grant_type="refresh_token") == 1
        await asyncio.sleep(4.2)
        views.append(await visitor.get("/me"))
        await visitor.aclose()
    assert {view.status_code for view in views} == {200}
    assert hub.count(grant_type="refresh_token") == 2


@pytest.mark.parametrize("way", [by_bearer, by_with_auth, by_httpx])
async def test_a_token_by_client_credentials_is_renewed_by_them(
    way: Way, processes: list[ZaikioOAuth], hub: LocalHub
) -> None:
    """It is the same with one request for a new token, which is stored beside the old one and found from then on."""
    token = await organizations_token(processes[0], hub, left=600)
    await nobody_remembers(processes)
    hub.fail("client_credentials", latency=1.5, times=None)

    given = await asyncio.gather(*(way(zaikio, token) for zaikio in processes for _ in range(5)))
    assert {each.token for each in given if each} == {token.token}
    assert hub.count(grant_type="client_credentials") == 1
    await asyncio.gather(*(settled(zaikio) for zaikio in processes))
    later = [await way(zaikio, token) for zaikio in processes for _ in range(5)]
    await asyncio.gather(*(settled(zaikio) for zaikio in processes))

    assert len({each.token for each in later if each} - {token.token}) == 1
    assert token.token not in {each.token for each in later if each}
    assert hub.count(grant_type="client_credentials") == 2
    assert hub.count(grant_type="refresh_token") == 0


@pytest.mark.parametrize(
    ("refresh_ahead", "left", "lifetime", "renewed"),
    [
        (900, 901, 3600, False),
        (900, 895, 3600, True),
        (900, 605, 1200, False),
        (900, 595, 1200, True),
        (60, 65, 3600, False),
        (60, 55, 3600, True),
        (1e300, 1805, 3600, False),
        (1e300, 1795, 3600, True),
        (0, 31, 3600, False),
        (0, 2, 3600, False),
    ],
)
async def test_when_a_token_is_due(
    make_settings: Callable[..., Settings],
    hub: LocalHub,
    refresh_ahead: float,
    left: float,
    lifetime: float,
    renewed: bool,
) -> None:
    """That is when it has less than ``refresh_ahead`` left and less than half of its lifetime; with 0, never."""
    async with ZaikioOAuth(make_settings(refresh_ahead=refresh_ahead, cache_ttl=0)) as zaikio:
        token = await persons_token(zaikio, hub, left=left, lifetime=lifetime)
        for _ in range(2):
            await by_page(zaikio, token)
            await settled(zaikio)
    assert hub.count(grant_type="refresh_token") == renewed


async def test_a_token_is_kept_whatever_the_limit(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """What is read is kept until it is due, and that is computed from any limit."""
    for refresh_ahead in (0, 1e9, 1e300):
        async with ZaikioOAuth(make_settings(refresh_ahead=refresh_ahead)) as zaikio:
            token = await persons_token(zaikio, hub, left=3600)
            assert None not in [await by_page(zaikio, token), await by_id(zaikio, token)]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "down": ({"status": 503}, "temporarily_unavailable"),
    "slow down": ({"status": 429, "headers": {"Retry-After": "1"}}, "temporarily_unavailable"),
    "broken": ({"broken_json": True}, "invalid_response"),
    "refused": ({"status": 401, "body": {"error": "invalid_client"}}, "invalid_client"),
}


@pytest.mark.parametrize("grant_type", ["refresh_token", "client_credentials"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_renewal_that_fails_costs_nobody_anything(
    fault: str,
    grant_type: str,
    make_settings: Callable[..., Settings],
    database: Database,
    database_url: str,
    hub: LocalHub,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Everybody goes on with the living token. There is one request a minute, one warning and one event."""
    how, code = FAULTS[fault]
    events: list[TokenEvent] = []
    async with two_processes(make_settings(database_url=database_url), on_token_event=events.append) as processes:
        by_refresh = grant_type == "refresh_token"
        token = await (persons_token if by_refresh else organizations_token)(processes[0], hub, left=300)
        await nobody_remembers(processes)
        events.clear()
        before = hub.count(grant_type=grant_type)
        hub.fail(grant_type, **how, times=None)
        for _ in range(4):
            given = await asyncio.gather(*(by_bearer(zaikio, token) for zaikio in processes for _ in range(3)))
            assert {each.token for each in given} == {token.token}
            await asyncio.gather(*(settled(zaikio) for zaikio in processes))
            await nobody_remembers(processes)

        assert hub.count(grant_type=grant_type) - before == 1
        assert [(event.kind, event.error) for event in events] == [("refused", code)]
        warnings = [text for text in caplog.messages if "has failed, and nobody was waiting for it" in text]
        assert len(warnings) == 1
        postponed = (await row(processes[0], token)).renew_after
        assert postponed is not None
        assert 40 < (postponed - datetime.now(UTC)).total_seconds() <= 60

        hub.clear_faults()
        await a_minute_later(processes)
        for _ in range(2):
            await asyncio.gather(*(by_bearer(zaikio, token) for zaikio in processes))
            await asyncio.gather(*(settled(zaikio) for zaikio in processes))
        assert hub.count(grant_type=grant_type) - before == 2
        assert (await by_bearer(processes[0], token)).token != token.token


async def test_a_refusal_ahead_of_time_is_not_tried_again(processes: list[ZaikioOAuth], hub: LocalHub) -> None:
    """The Hub no longer accepts the refresh token: it is not sent again, and the token is used until it expires."""
    token = await persons_token(processes[0], hub, left=300)
    await nobody_remembers(processes)
    hub.spend_refresh_tokens()
    for _ in range(3):
        await a_minute_later(processes)
        for zaikio in processes:
            assert await by_id(zaikio, token)
            await settled(zaikio)
            await by_page(zaikio, token)
            await settled(zaikio)
    assert hub.count(grant_type="refresh_token") == 1
    assert hub.count(grant_type="client_credentials") == 0

    await age(processes[0], token, left=-1)
    await nobody_remembers(processes)
    assert [await by_id(zaikio, token) for zaikio in processes] == [None, None]
    assert hub.count(grant_type="refresh_token") == 1


async def test_a_caller_who_needs_it_for_longer_asks_in_spite_of_a_failure(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """That a renewal failed a moment ago keeps nobody from a token that they must have."""
    token = await persons_token(zaikio, hub, left=300)
    hub.fail("refresh_token", status=503)
    (await parts_of(zaikio)).grants.forget(token.id)
    await by_id(zaikio, token)
    await settled(zaikio)
    assert (await row(zaikio, token)).renew_after is not None

    longer = await zaikio.find_active_access_token(token.id, valid_for=600)
    assert longer and longer.expires_in > 3500
    assert (await row(zaikio, token)).renew_after is None


async def test_a_database_that_cannot_be_written_is_not_asked_by_every_page(
    zaikio: ZaikioOAuth, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure cannot be noted there, so the process remembers it: one attempt, one warning, every page is shown."""
    token = await persons_token(zaikio, hub, left=300)
    refusal = "CREATE TRIGGER refusal BEFORE INSERT ON zaikio_leases BEGIN SELECT RAISE(ABORT, 'refused'); END"
    async with (await engine_of(zaikio)).begin() as connection:
        await connection.execute(text(refusal))
    for _ in range(3):
        await nobody_remembers([zaikio])
        await by_page(zaikio, token)
        await settled(zaikio)
    assert len([line for line in caplog.messages if "has failed, and nobody was waiting for it" in line]) == 1
    assert hub.count(grant_type="refresh_token") == 0


async def test_tokens_that_nobody_could_renew_are_left_alone(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Delegated ones, those of a removed client, and those of a public client without a refresh token.

    They are given until they expire, without a request or a warning.
    """
    async with ZaikioOAuth(make_settings()) as zaikio:
        public = await persons_token(zaikio, hub, left=300)
        removed = await persons_token(zaikio, hub, left=300)
        delegated = await persons_token(zaikio, hub, left=300)
        table = (await parts_of(zaikio)).access_tokens._rows._table
        values = {"delegated_from": removed.id, "refresh_token": None}
        async with (await engine_of(zaikio)).begin() as connection:
            await connection.execute(update(table).where(table.c.id == delegated.id).values(values))
            await connection.execute(update(table).where(table.c.id == removed.id).values({"audience": "gone"}))
            values = {"audience": "kiosk", "refresh_token": None}
            await connection.execute(update(table).where(table.c.id == public.id).values(values))
    async with ZaikioOAuth(make_settings()) as later:
        found = await later.get_access_token(
            bearer_id=public.bearer_id, client_name="kiosk", scopes=public.requested_scopes
        )
        assert found.id == public.id
        for token in (removed, delegated):
            assert await by_id(later, token)
            await by_page(later, token)
        await settled(later)
    assert hub.count(grant_type="refresh_token") + hub.count(grant_type="client_credentials") == 0
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_script_that_ends_during_a_renewal_keeps_the_grant(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """What the Hub gives for it is stored, although nothing waits for it any more."""
    settings = make_settings()

    async def prepare() -> AccessToken:
        async with ZaikioOAuth(settings) as zaikio:
            return await persons_token(zaikio, hub, left=300)

    async def script() -> None:
        assert await by_id(ZaikioOAuth(settings), token)

    async def stored() -> StoredToken:
        async with ZaikioOAuth(settings) as zaikio:
            return await row(zaikio, token)

    token = asyncio.run(prepare())
    hub.fail("refresh_token", latency=1)
    asyncio.run(script())
    assert asyncio.run(stored()).version == 2
    assert hub.count(grant_type="refresh_token") == 1
