"""An API answers 401 to a token that should be valid: one renewal a minute, and nothing is deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import httpx2
import pytest
from sqlalchemy import text

from tests.apps import small_app
from tests.inside import engine_of, open_for_sync_code
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, Settings, ZaikioAuth, ZaikioOAuth
from zaikio_oauth.testing import HubServer, LocalHub

LIBRARIES = [httpx, httpx2]


class Refusing:
    """An API that answers 401 to everything, and the tokens that it has got."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.got.append(dict(scope["headers"]).get(b"authorization", b""))
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def api() -> Refusing:
    return Refusing()


@pytest.fixture
def api_url(api: Refusing) -> Iterator[str]:
    with HubServer(api) as server:
        yield server.url


@pytest.fixture
def organization(hub: LocalHub) -> dict[str, Any]:
    """Return the arguments for an organization that has granted access to the app."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return {"bearer_type": "Organization", "bearer_id": hub.organizations[0].id}


async def log_in(zaikio: ZaikioOAuth, hub: LocalHub) -> AccessToken:
    hub.auto_consent(person_id=hub.people[0].id)
    visitor = Visitor(small_app(zaikio))
    await visitor.log_in(force_login="true")
    token = await zaikio.find_active_access_token(visitor.session["zaikio_access_token_id"])
    await visitor.aclose()
    assert token is not None
    return token


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_api_that_rejects_everything_costs_an_organization_one_renewal(
    library: Any, zaikio: ZaikioOAuth, hub: LocalHub, organization: dict[str, Any], api: Refusing, api_url: str
) -> None:
    """Requests one after the other, at once, and of another client object; the token stays usable elsewhere."""
    for _ in range(2):
        auth = ZaikioAuth(**organization, zaikio=zaikio)
        async with library.AsyncClient(auth=auth, base_url=api_url) as client:
            for _ in range(3):
                assert (await client.get("/")).status_code == 401
            answers = await asyncio.gather(*(client.get("/") for _ in range(10)))
            assert {answer.status_code for answer in answers} == {401}

    assert hub.count(grant_type="client_credentials") == 2
    assert len(api.got) == 26 + 1
    assert len(set(api.got)) == 2
    newest = await zaikio.find_usable_access_token(**organization)
    assert newest is not None
    assert f"Bearer {newest.token}".encode() == api.got[-1]


@pytest.mark.parametrize("bearer", ["person", "organization"])
async def test_all_processes_together_renew_once_a_minute(
    bearer: str,
    make_settings: Callable[..., Settings],
    database_url: str,
    hub: LocalHub,
    organization: dict[str, Any],
    api: Refusing,
    api_url: str,
) -> None:
    """The row remembers it. When the minute is over there is one more."""
    settings = make_settings(database_url=database_url, auto_migrate=True, cache_ttl=0)
    async with AsyncExitStack() as processes:
        zaikios = [await processes.enter_async_context(ZaikioOAuth(settings)) for _ in range(3)]
        wanted = organization if bearer == "organization" else {"bearer_id": (await log_in(zaikios[0], hub)).bearer_id}

        async def visit() -> None:
            for zaikio in zaikios:
                async with httpx2.AsyncClient(auth=ZaikioAuth(**wanted, zaikio=zaikio), base_url=api_url) as client:
                    for _ in range(2):
                        assert (await client.get("/")).status_code == 401

        await visit()
        assert len(set(api.got)) == 2
        async with (await engine_of(zaikios[0])).begin() as connection:
            await connection.execute(text("UPDATE zaikio_access_tokens SET renew_after = NULL"))
        await visit()

    assert len(set(api.got)) == 3
    assert hub.count(grant_type="refresh_token") == (2 if bearer == "person" else 0)
    assert hub.count(grant_type="client_credentials") == (0 if bearer == "person" else 3)


async def test_an_api_that_rejects_everything_logs_nobody_out(
    zaikio: ZaikioOAuth, hub: LocalHub, api: Refusing, api_url: str
) -> None:
    """The person's token is refreshed once, and the session goes on with it."""
    before = await log_in(zaikio, hub)
    auth = ZaikioAuth(bearer_id=before.bearer_id, zaikio=zaikio)
    async with httpx2.AsyncClient(auth=auth, base_url=api_url) as client:
        answers = [await client.get("/") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {401}
    assert hub.count(grant_type="refresh_token") == 1
    assert hub.count(grant_type="client_credentials") == 0
    after = await zaikio.find_active_access_token(before.id)
    assert after is not None
    assert after.token != before.token


@pytest.mark.parametrize("fault", ["refused", "broken"])
async def test_a_401_is_returned_if_there_is_no_other_token(
    fault: str,
    zaikio: ZaikioOAuth,
    hub: LocalHub,
    api: Refusing,
    api_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The Hub rejects the renewal, or answers with something else: it is asked once, the log says so, and nothing is deleted."""
    before = await log_in(zaikio, hub)
    if fault == "refused":
        hub.spend_refresh_tokens()
    else:
        hub.fail("refresh_token", broken_json=True, times=None)
    hub.fail("client_credentials", status=400, body={"error": "ungranted_scope"}, times=None)
    auth = ZaikioAuth(bearer_id=before.bearer_id, zaikio=zaikio)
    async with httpx2.AsyncClient(auth=auth, base_url=api_url) as client:
        answers = [await client.get("/") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {401}
    assert len(api.got) == 5
    assert hub.count(grant_type="refresh_token") == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len([message for message in warnings if "rejected by an API" in message]) == 1
    assert before.token not in caplog.text
    assert await zaikio.find_active_access_token(before.id) is not None


@pytest.mark.parametrize("library", LIBRARIES)
def test_sync_code_gets_another_token_too(
    library: Any, make_settings: Callable[..., Settings], hub: LocalHub, hub_url: str, organization: dict[str, Any]
) -> None:
    """If the Hub ends a token early, the request is repeated with a new one; once, if that is rejected too."""
    with open_for_sync_code(ZaikioOAuth(make_settings())) as zaikio:
        with library.Client(auth=ZaikioAuth(**organization, zaikio=zaikio), base_url=hub_url) as client:
            assert client.get("/api/v1/organization").status_code == 200
            hub.expire_access_tokens()
            assert client.get("/api/v1/organization").status_code == 200
            assert hub.count(grant_type="client_credentials") == 2
            hub.fail("/api/v1/organization", status=401, times=None)
            assert client.post("/api/v1/organization", json={}).status_code == 401

    assert hub.count(grant_type="client_credentials") == 2


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_sync_client_in_a_running_event_loop_says_what_to_write(
    library: Any, zaikio: ZaikioOAuth, hub_url: str, organization: dict[str, Any]
) -> None:
    """It would block the loop."""
    with library.Client(auth=ZaikioAuth(**organization, zaikio=zaikio), base_url=hub_url) as client:
        with pytest.raises(RuntimeError, match="AsyncClient"):
            client.get("/api/v1/organization")
