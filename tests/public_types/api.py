"""The public names as a user's code uses them. mypy, pyright and people read the file; it is never executed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, assert_type

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.testclient import TestClient
from playwright.async_api import BrowserContext
from playwright.sync_api import BrowserContext as SyncBrowserContext
from pydantic import SecretStr
from starlette.responses import RedirectResponse, Response

from alembic import context
from zaikio_oauth import (
    AccessToken,
    BearerDoesNotExistError,
    BearerToken,
    ClientSettings,
    ConfigurationError,
    Connection,
    DecryptionError,
    DeviceAuthorization,
    HubEvent,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    InvalidTokenError,
    LoginError,
    OAuthError,
    OnBehalfOf,
    Settings,
    StoreUnavailableError,
    TokenEvent,
    UnknownClientError,
    ZaikioAuth,
    ZaikioOAuth,
    ZaikioOAuthError,
    bearer_token,
    cleanup_access_tokens,
    configure,
    connections,
    connections_router,
    current_access_token,
    delegate,
    find_active_access_token,
    find_usable_access_token,
    get_access_token,
    keep_alive,
    login_error,
    optional_access_token,
    refresh,
    revoke,
    rotate_encryption_keys,
    sessions_router,
    start_device_authorization,
    subscriptions_router,
    verify_bearer_token,
    webhook_router,
    with_auth,
    with_client,
    zaikio_router,
)
from zaikio_oauth.migrations import include_name, process_revision_directives, version_location
from zaikio_oauth.testing import (
    HubApp,
    HubOrganization,
    HubPerson,
    HubRequest,
    HubServer,
    LocalHub,
    logged_in_as,
    session_cookie,
)

# ── in an app ──────────────────────────────────────────────────────────────────────────────────────

app = FastAPI()
app.include_router(zaikio_router, prefix="/zaikio")
for router in (sessions_router, connections_router, subscriptions_router, webhook_router):
    assert_type(router, APIRouter)


@app.get("/me")
async def me(token: Annotated[AccessToken, Depends(current_access_token)]) -> str:
    """A page for a person who is logged in."""
    return token.bearer_id


@app.get("/sites", responses=current_access_token.responses)
async def sites(token: Annotated[AccessToken, Security(current_access_token, scopes=["zaikio.sites.r"])]) -> str:
    """A page for a person who is logged in and has a scope."""
    return token.id


@app.get("/catalog", responses=bearer_token.responses)
async def catalog(token: Annotated[BearerToken, Security(bearer_token, scopes=["my_app.catalog.r"])]) -> str:
    """A route for another Zaikio app."""
    return token.subject_id


@app.get("/orders")
async def orders(token: Annotated[BearerToken, Security(bearer_token.of("Organization"), scopes=[])]) -> str:
    """A route for another Zaikio app with an organization's token."""
    return token.jti


@app.get("/")
async def home(
    request: Request, token: Annotated[AccessToken | None, Depends(optional_access_token)]
) -> dict[str, str | None]:
    """A page for everybody."""
    error = login_error(request)
    assert_type(error, LoginError | None)
    if error is None:
        return {"person": token.person_id if token else None}
    assert_type(error.code, str)
    assert_type(error.description, str | None)
    assert_type(error.message, str)
    return {"error": error.message}


# ── settings and hooks ─────────────────────────────────────────────────────────────────────────────


def after_approve(request: Request, access_token: AccessToken, origin: str | None) -> str | Response:
    """A hook that returns a path or a response."""
    return origin or RedirectResponse("/")


async def after_destroy(request: Request, access_token_id: str | None) -> str:
    """A coroutine function as a hook."""
    return "/goodbye"


async def on_event(event: HubEvent) -> None:
    """A hook for the events of the Hub."""
    assert_type(event.payload, dict[str, Any])
    assert_type(event.timestamp, datetime | None)


async def on_error(request: Request, error: LoginError) -> Response | None:
    """A hook that may return None."""
    return None


def verify_state(request: Request, state: str) -> bool:
    """A state from an account-claiming email."""
    return state.startswith("claim-")


def locale(request: Request) -> str | None:
    """The language of the Hub's pages."""
    return request.cookies.get("language")


@asynccontextmanager
async def around_auth(access_token: AccessToken) -> AsyncIterator[None]:
    """A context manager around each ``with_auth`` block."""
    yield


def on_token_event(event: TokenEvent) -> None:
    """A listener for token events."""
    assert_type(event.kind, Literal["obtained", "refreshed", "revoked", "refused", "lost", "cleaned_up"])
    assert_type(event.access_token_id, str | None)
    assert_type(event.count, int)


settings = Settings(clients={"warehouse": ClientSettings(client_id="the-id")})
ClientSettings(client_id="the-id", client_secret="secret", default_scopes=["a.b.r"], organization_scopes="a.b.r,a.c.r")
ClientSettings(client_id="the-id", client_secret=SecretStr("secret"), webhook_secret=["new", "old"])
zaikio = configure(
    settings,
    after_approve=after_approve,
    after_destroy=after_destroy,
    on_error=on_error,
    verify_state=verify_state,
    locale=locale,
    on_event=on_event,
    around_auth=around_auth,
    on_token_event=on_token_event,
)
assert_type(zaikio, ZaikioOAuth)
assert_type(zaikio.settings, Settings)
assert_type(zaikio.settings.client("warehouse"), ClientSettings)
assert_type(zaikio.router, APIRouter)


@app.get("/several")
async def several(token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> str:
    """A page that uses one of several instances."""
    return token.audience


# ── a worker ───────────────────────────────────────────────────────────────────────────────────────


async def worker(organization_id: str) -> None:
    """Every function that returns or changes a token."""
    authorized = with_auth(
        bearer_type="Organization",
        bearer_id=organization_id,
        scopes=["zaikio.organization.r"],
        valid_for=timedelta(minutes=10),
    )
    context: AbstractAsyncContextManager[AccessToken] = authorized
    assert context
    async with authorized as access_token:
        assert_type(access_token, AccessToken)
    async with with_auth(access_token) as the_same:
        assert_type(the_same, AccessToken)

    assert_type(with_client("warehouse"), AbstractContextManager[None])
    with with_client("warehouse"):
        assert_type(await get_access_token(bearer_id=organization_id, valid_for=30), AccessToken)
    usable = await find_usable_access_token(bearer_type="Person", bearer_id="the-id", requested_scopes=("a.b.r",))
    assert_type(usable, AccessToken | None)
    assert_type(await find_active_access_token("the-id", valid_for=1.5), AccessToken | None)
    assert_type(await refresh(access_token), AccessToken)
    assert_type(await delegate(access_token, client_id="the-id", scopes=["a.b.r"]), AccessToken)
    await revoke(access_token)
    device = await start_device_authorization(client_name="kiosk", scopes=["Per>Org.a.b.r"])
    assert_type(device, DeviceAuthorization)
    assert_type(device.user_code, str)
    assert_type(device.verification_uri, str)
    assert_type(device.verification_uri_complete, str | None)
    assert_type(device.expires_at, datetime)
    assert_type(await device.wait(), AccessToken)
    auth = ZaikioAuth(bearer_type="Organization", bearer_id=organization_id, origin=["https://api.example.com"])
    async with httpx.AsyncClient(auth=auth) as client:
        assert_type(await client.get("/"), httpx.Response)
    assert_type(await keep_alive(), int)
    assert_type(await cleanup_access_tokens(), int)
    assert_type(await rotate_encryption_keys(), int)

    async with ZaikioOAuth(settings, around_auth=around_auth) as opened:
        assert_type(opened, ZaikioOAuth)
        async with opened.with_auth(bearer_id="the-id") as token:
            assert_type(token, AccessToken)


async def a_type_that_does_not_exist(bearer_type: str) -> None:
    """A mistake that a type checker finds; at run time it is a ValueError."""
    await get_access_token(bearer_type="organization", bearer_id="the-id")  # type: ignore[arg-type]
    with_auth(bearer_type=bearer_type, bearer_id="the-id")  # type: ignore[arg-type]
    connections(bearer_type="Machine")  # type: ignore[arg-type]
    ZaikioAuth(bearer_type="Company", bearer_id="the-id")  # type: ignore[arg-type]


async def support_page() -> None:
    """Which organizations have connected the app."""
    async for connection in connections(client_name="warehouse", bearer_type="Organization"):
        assert_type(connection, Connection)
        assert_type(connection.access_token_id, str)
        assert_type(connection.client_name, str)
        assert_type(connection.bearer_type, Literal["Person", "Organization"])
        assert_type(connection.bearer_id, str)
        assert_type(connection.scopes, tuple[str, ...])
        assert_type(connection.connected_at, datetime)
        assert_type(connection.refreshed_at, datetime | None)
        assert_type(connection.expires_at, datetime)
        assert_type(connection.refresh_expires_at, datetime | None)
        assert_type(connection.health, Literal["ok", "ageing", "lost"])


def sync_worker(organization_id: str) -> None:
    """The same in code that is not async."""
    authorized = with_auth(bearer_type="Organization", bearer_id=organization_id)
    context: AbstractContextManager[AccessToken] = authorized
    assert context
    with authorized as access_token:
        assert_type(access_token, AccessToken)
    with with_auth(access_token) as the_same:
        assert_type(the_same, AccessToken)
    auth = ZaikioAuth(bearer_type="Organization", bearer_id=organization_id, origin="https://api.example.com")
    with httpx.Client(auth=auth) as client:
        assert_type(client.get("/"), httpx.Response)


def values(token: AccessToken) -> None:
    """The attributes of an access token."""
    assert_type(token.id, str)
    assert_type(token.jti, str | None)
    assert_type(token.audience, str)
    assert_type(token.bearer_type, Literal["Person", "Organization"])
    assert_type(token.on_behalf_of, OnBehalfOf | None)
    assert_type(token.scopes, tuple[str, ...])
    assert_type(token.requested_scopes, tuple[str, ...])
    assert_type(token.token, str)
    assert_type(token.refresh_token, str | None)
    assert_type(token.expires_at, datetime)
    assert_type(token.refresh_expires_at, datetime | None)
    assert_type(token.created_at, datetime)
    assert_type(token.expired, bool)
    assert_type(token.expires_in, int)
    assert_type(token.organization, bool)
    if token.on_behalf_of is not None:
        assert_type(token.on_behalf_of.roles, tuple[str, ...])


async def incoming(text: str) -> None:
    """The attributes of an incoming token."""
    token = await verify_bearer_token(text)
    assert_type(token, BearerToken)
    assert_type(token.jti, str)
    assert_type(token.subject_type, Literal["Person", "Organization"])
    assert_type(token.subject_id, str)
    assert_type(token.on_behalf_of, OnBehalfOf | None)
    assert_type(token.audiences, tuple[str, ...])
    assert_type(token.scopes, tuple[str, ...])
    assert_type(token.expires_at, datetime)
    assert_type(token.person_id, str | None)


async def failures() -> None:
    """The attributes of each error."""
    try:
        await get_access_token(bearer_id="the-id")
    except (InvalidGrantError, InvalidScopesError, BearerDoesNotExistError) as error:
        assert_type(error.code, str)
    except OAuthError as error:
        assert_type(error.description, str | None)
        assert_type(error.status_code, int | None)
    except HubUnavailableError as error:
        assert_type(error.elapsed, float)
        assert_type(error.retry_after, float | None)
    except StoreUnavailableError as error:
        assert_type(error.reason, str)
        assert_type(error.elapsed, float)
    except UnknownClientError as error:
        assert_type(error.known, tuple[str, ...])
    except InvalidTokenError as error:
        assert_type(error.code, str)
        assert_type(error.description, str)
    except DecryptionError as error:
        assert_type(error.access_token_id, str)
    except (ConfigurationError, InvalidResponseError) as error:
        assert_type(str(error), str)
    except ZaikioOAuthError:
        raise


# ── tests of an app ────────────────────────────────────────────────────────────────────────────────


def local_hub() -> None:
    """A local Hub with people and apps of the test."""
    organization = HubOrganization("the-organization", "Druckhaus")
    person = HubPerson("the-person", "Anna", "Möller", "anna@example.com", memberships=((organization.id, ("owner",)),))
    HubApp("warehouse", "the-id", desired_scopes=["a.b.r"])
    registered = HubApp.for_client("warehouse", "the-id", "the-secret", base_urls=["http://testserver"])
    hub = LocalHub([registered], people=[person], organizations=[organization])
    hub.auto_consent(person.id)
    hub.fail("refresh_token", status=503, latency=0.5)
    with HubServer(hub) as server:
        assert_type(server.url, str)
    assert_type(registered.title, str)
    assert_type(hub.requests, list[HubRequest])
    assert_type(hub.count(grant_type="refresh_token"), int)


def logged_in(client: TestClient) -> None:
    """A person who is logged in without a flow."""
    logged_in_as(client, person_id="the-person", client_name="warehouse")
    logged_in_as(client, "the-person", scopes=["zaikio.person.r"], on_behalf_of="the-organization")
    behalf = OnBehalfOf(id="the-organization", type="Organization", roles=("admin",))
    logged_in_as(client, "the-person", on_behalf_of=behalf)


async def logged_in_in_a_browser(context: BrowserContext, sync_context: SyncBrowserContext) -> None:
    """The same in Playwright's browser."""
    cookie = session_cookie(app, "the-person", scopes="zaikio.person.r", url="http://localhost:8000")
    await context.add_cookies([cookie])
    sync_context.add_cookies([cookie])


def with_fixtures(
    zaikio_hub: LocalHub,
    zaikio_hub_server: HubServer,
    zaikio_hub_url: str,
    zaikio_logged_in_as: Callable[..., None],
    client: TestClient,
) -> None:
    """The fixtures of the pytest plugin."""
    zaikio_hub.auto_consent("the-person")
    Settings(host=zaikio_hub_url)
    assert_type(zaikio_hub_server.url, str)
    zaikio_logged_in_as(client, "the-person", client_name="warehouse")


def env_py() -> None:
    """An app's own Alembic takes the functions as they are."""
    context.configure(include_name=include_name, process_revision_directives=process_revision_directives)
    assert_type(include_name("zaikio_leases", "table", {"schema_name": None}), bool)
    assert_type(version_location(), str)
