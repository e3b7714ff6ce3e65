"""To whom ``ZaikioAuth`` gives the token: the Hub, the origins that the app names, or the client's ``base_url``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest

from tests.data import some_client
from zaikio_oauth import ConfigurationError, Settings, ZaikioAuth, ZaikioOAuth
from zaikio_oauth.testing import HubServer, LocalHub

LIBRARIES = [httpx, httpx2]


class Api:
    """An API of somebody: whether each request came with a token, and how it answers."""

    def __init__(self) -> None:
        self.seen: list[bool] = []
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(b"authorization" in dict(scope["headers"]))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def api_url(api: Api) -> Iterator[str]:
    with HubServer(api) as server:
        yield server.url


@pytest.fixture
def wanted(hub: LocalHub, zaikio: ZaikioOAuth) -> dict[str, Any]:
    """Return the arguments for an organization that has granted access to the app."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return {"bearer_type": "Organization", "bearer_id": hub.organizations[0].id, "zaikio": zaikio}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_without_an_origin_nobody_but_the_hub_gets_the_token(
    library: Any, wanted: dict[str, Any], hub: LocalHub, hub_url: str, api: Api, api_url: str
) -> None:
    """The error says what to write. No token is requested for it, and none is sent, the first time and later."""
    async with library.AsyncClient(auth=ZaikioAuth(**wanted)) as client:
        for _ in range(2):
            with pytest.raises(ConfigurationError) as raised:
                await client.get(f"{api_url}/orders?secret=1")
            assert f"origin='{api_url}'" in str(raised.value)
            assert "base_url" in str(raised.value)
            assert "secret" not in str(raised.value)
        assert hub.count(grant_type="client_credentials") == 0
        assert (await client.get(f"{hub_url}/api/v1/organization")).status_code == 200
        with pytest.raises(ConfigurationError):
            await client.get(api_url)
    assert api.seen == []


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_base_url_of_the_client_gets_the_token(
    library: Any, wanted: dict[str, Any], hub_url: str, api: Api, api_url: str
) -> None:
    """And the Hub. Also if the auth is given to a request, and if it is changed in the client; nobody else does."""
    auth = ZaikioAuth(**wanted)
    async with library.AsyncClient(auth=auth, base_url=f"{api_url}/v1/") as client:
        await client.get("orders")
        assert (await client.get(f"{hub_url}/api/v1/organization")).status_code == 200
        with HubServer(elsewhere := Api()) as other:
            await client.get(other.url)
    async with library.AsyncClient(base_url=api_url) as client:
        await client.get("/orders", auth=auth)
        await client.get("/orders")
        client.auth = auth
        async with client.stream("GET", "/orders"):
            pass
        await client.send(client.build_request("GET", "/orders"))
    assert api.seen == [True, True, False, True, True]
    assert elsewhere.seen == [False]
    async with library.AsyncClient(auth=auth) as client:
        with pytest.raises(ConfigurationError):
            await client.get(api_url)


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_base_url_of_a_sync_client_gets_the_token(
    library: Any, make_settings: Any, hub: LocalHub, hub_url: str, api: Api, api_url: str
) -> None:
    """As in an ``AsyncClient``."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    zaikio = ZaikioOAuth(make_settings())
    auth = ZaikioAuth(bearer_type="Organization", bearer_id=hub.organizations[0].id, zaikio=zaikio)
    with library.Client(auth=auth, base_url=api_url) as client:
        client.get("/orders")
        assert client.get(f"{hub_url}/api/v1/organization").status_code == 200
    with library.Client(auth=auth) as client, pytest.raises(ConfigurationError, match="origin="):
        client.get(api_url)
    assert api.seen == [True]


@pytest.mark.parametrize("library", LIBRARIES)
async def test_the_named_origins_get_the_token(
    library: Any, wanted: dict[str, Any], hub_url: str, api: Api, api_url: str
) -> None:
    """One or several, and the Hub. Then the client's ``base_url`` does not count, nor where a request is redirected."""
    with HubServer(elsewhere := Api()) as other:
        for origin in [api_url, [api_url, "https://files.example.com"], (url for url in (api_url,)), f"{api_url}/v1"]:
            auth = ZaikioAuth(**wanted, origin=origin)
            async with library.AsyncClient(auth=auth, base_url=other.url, follow_redirects=True) as client:
                await client.get(f"{api_url}/orders")
                await client.get("/orders")
                assert (await client.get(f"{hub_url}/api/v1/organization")).status_code == 200
        api.status, api.headers = 302, [(b"location", other.url.encode())]
        async with library.AsyncClient(auth=auth, follow_redirects=True) as client:
            await client.get(f"{api_url}/orders")
    assert api.seen == [True] * 5
    assert elsewhere.seen == [False] * 5


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ("production", "https://hub.zaikio.com"),
        ("sandbox", "https://hub.sandbox.zaikio.com"),
        ("staging", "https://hub.staging.zaikio.com"),
    ],
)
def test_the_hub_is_that_of_the_environment(environment: Any, host: str, make_settings: Any) -> None:
    """The one of another environment is nobody's."""
    given = {"encryption_keys": make_settings().plain_encryption_keys, "clients": {"warehouse": some_client()}}
    auth = ZaikioAuth(bearer_id="person", zaikio=ZaikioOAuth(Settings(environment=environment, **given)))
    hosts = ["https://hub.zaikio.com", "https://hub.sandbox.zaikio.com", "http://hub.zaikio.com", host + ".example.com"]
    for each in {*hosts, host}:
        request = httpx.Request("GET", f"{each}/api/v1/person")
        if each == host:
            assert auth._may_have_token(request, None)
        else:
            with pytest.raises(ConfigurationError):
                auth._may_have_token(request, None)


@pytest.mark.parametrize(
    ("origin", "error"),
    [
        ("api.example.com", ValueError),
        ("", ValueError),
        ("https://", ValueError),
        ("ftp://api.example.com", ValueError),
        ("https://*.example.com", ValueError),
        ("https://api.example.com@elsewhere.example", ValueError),
        ("https://api.example.com:port", ValueError),
        (["https://api.example.com", "files.example.com"], ValueError),
        ([None], TypeError),
        (7, TypeError),
    ],
)
def test_an_origin_that_cannot_be_right_is_an_error(origin: Any, error: type[Exception]) -> None:
    """At once, instead of a token that is never sent."""
    with pytest.raises(error):
        ZaikioAuth(bearer_id="person", origin=origin)


async def test_who_calls_it_in_another_way_has_to_name_the_origin(
    wanted: dict[str, Any], api: Api, api_url: str
) -> None:
    """The base URL is that of the client that sends the request. Where that cannot be seen, nothing is guessed."""

    class Wrapped(httpx2.Auth):
        def __init__(self, inner: ZaikioAuth) -> None:
            self.inner = inner

        def async_auth_flow(self, request: Any) -> Any:
            return self.inner.async_auth_flow(request)

    async with httpx2.AsyncClient(auth=Wrapped(ZaikioAuth(**wanted)), base_url=api_url) as client:
        with pytest.raises(ConfigurationError):
            await client.get("/orders")
    async with httpx2.AsyncClient(auth=Wrapped(ZaikioAuth(**wanted, origin=api_url)), base_url=api_url) as client:
        await client.get("/orders")
    assert api.seen == [True]
