"""``ZaikioAuth`` in the clients of httpx and of httpx2, against the local Hub's API and other servers."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest

from zaikio_oauth import ZaikioAuth, ZaikioOAuth, configure
from zaikio_oauth.testing import HubOrganization, HubServer, LocalHub

LIBRARIES = [httpx, httpx2]


@pytest.fixture
def organization(hub: LocalHub) -> HubOrganization:
    """Return an organization that has granted access to the app."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return hub.organizations[0]


@pytest.fixture
def auth(zaikio: ZaikioOAuth, organization: HubOrganization) -> ZaikioAuth:
    return ZaikioAuth(bearer_type="Organization", bearer_id=organization.id, zaikio=zaikio)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_every_request_has_the_token(
    library: Any, hub: LocalHub, hub_url: str, auth: ZaikioAuth, organization: HubOrganization
) -> None:
    """The token is fetched once."""
    async with library.AsyncClient(auth=auth, base_url=hub_url) as client:
        answers = await asyncio.gather(*(client.get("/api/v1/organization") for _ in range(5)))

    assert [answer.json()["name"] for answer in answers] == [organization.name] * 5
    assert hub.count(grant_type="client_credentials") == 1
    assert organization.id in repr(auth)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_401_is_retried_once_with_a_new_token(
    library: Any, hub: LocalHub, hub_url: str, auth: ZaikioAuth
) -> None:
    """If the Hub ends the token early, ten concurrent requests fetch one new token."""
    async with library.AsyncClient(auth=auth, base_url=hub_url) as client:
        await client.get("/api/v1/organization")
        hub.expire_access_tokens()
        answers = await asyncio.gather(*(client.get("/api/v1/organization") for _ in range(10)))

    assert [answer.status_code for answer in answers] == [200] * 10
    assert hub.count(grant_type="client_credentials") == 2


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_second_401_is_returned(library: Any, hub: LocalHub, hub_url: str, auth: ZaikioAuth) -> None:
    """The request is repeated only once."""
    hub.fail("/api/v1/organization", status=401, times=None)
    async with library.AsyncClient(auth=auth, base_url=hub_url) as client:
        answer = await client.get("/api/v1/organization")

    assert answer.status_code == 401
    assert hub.count(path="/api/v1/organization") == 2


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_streamed_body_is_not_sent_twice(library: Any, hub: LocalHub, hub_url: str, auth: ZaikioAuth) -> None:
    """The body is consumed, so the HTTP 401 is returned."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    hub.fail("/api/v1/organization", status=401, times=None)
    async with library.AsyncClient(auth=auth, base_url=hub_url) as client:
        answer = await client.post("/api/v1/organization", content=body())

    assert answer.status_code == 401
    assert hub.count(path="/api/v1/organization") == 1


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_token_is_not_sent_to_another_host(
    library: Any, hub_url: str, auth: ZaikioAuth, hub: LocalHub
) -> None:
    """This includes another port and a redirect."""
    seen: list[str | None] = []

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        seen.append(headers.get(b"authorization", b"").decode() or None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with HubServer(elsewhere) as other:
        hub.fail("/api/v1/roles", status=302, headers={"Location": other.url})
        async with library.AsyncClient(auth=auth, base_url=hub_url, follow_redirects=True) as client:
            await client.get("/api/v1/organization")
            await client.get("/api/v1/roles")
            await client.get(f"{other.url}/x")

    assert seen == [None, None]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_401_of_another_host_costs_the_grant_nothing(
    library: Any, hub_url: str, auth: ZaikioAuth, hub: LocalHub
) -> None:
    """Neither one to which a request was redirected, nor ours if the token was lost on the way back."""

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        back = {"status": 307, "headers": [(b"location", f"{hub_url}/api/v1/organization".encode())]}
        answer = back if scope["path"] == "/back" else {"status": 401, "headers": []}
        await send({"type": "http.response.start", **answer})
        await send({"type": "http.response.body", "body": b""})

    with HubServer(elsewhere) as other:
        async with library.AsyncClient(auth=auth, base_url=hub_url, follow_redirects=True) as client:
            for path in ["/", "/back"]:
                hub.fail("/api/v1/roles", status=302, headers={"Location": other.url + path})
                assert (await client.get("/api/v1/roles")).status_code == 401
            assert (await client.get("/api/v1/organization")).status_code == 200
            hub.expire_access_tokens()
            hub.fail("/api/v1/roles", status=307, headers={"Location": "/api/v1/organization"}, times=None)
            assert (await client.get("/api/v1/roles")).status_code == 200

    assert hub.count(path="/api/v1/roles") == 4
    assert hub.count(grant_type="client_credentials") == 2


async def test_the_default_instance_is_used_without_an_argument(
    hub_url: str, zaikio: ZaikioOAuth, organization: HubOrganization
) -> None:
    """``ZaikioAuth(bearer_type=…, bearer_id=…)`` works after ``configure``."""
    configured = configure(zaikio.settings)
    auth = ZaikioAuth(bearer_type="Organization", bearer_id=organization.id, scopes=["zaikio.organization.r"])
    async with configured, httpx2.AsyncClient(auth=auth) as client:
        assert (await client.get(f"{hub_url}/api/v1/organization")).status_code == 200


def test_it_can_be_sent_to_another_process() -> None:
    """For the default object, which each process has."""
    auth = ZaikioAuth(bearer_type="Organization", bearer_id="o", scopes=["a.b.r"])
    for copied in [pickle.loads(pickle.dumps(auth)), copy.deepcopy(auth)]:
        assert repr(copied) == repr(auth)
