"""ZaikioOAuth, and the module-level names, which are the members of the default instance."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient

import zaikio_oauth
from tests.data import KEY, SECRET
from tests.inside import client_name_of
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, ConfigurationError, Settings, ZaikioOAuth, configure
from zaikio_oauth.testing import HubOrganization, LocalHub, logged_in_as


@pytest.fixture(autouse=True)
def nothing_configured() -> Iterator[None]:
    """Reset the default instance before and after the test."""
    configure()
    yield
    configure()


@pytest.fixture
def organization(hub: LocalHub) -> HubOrganization:
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return hub.organizations[0]


@pytest.fixture
def app() -> FastAPI:
    """Return the app of the documentation's ten-line example."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    app.include_router(zaikio_oauth.zaikio_router, prefix="/zaikio")

    @app.get("/me")
    async def me(token: Annotated[AccessToken, Depends(zaikio_oauth.current_access_token)]) -> str:
        return token.bearer_id

    @app.get("/maybe")
    async def maybe(token: Annotated[AccessToken | None, Depends(zaikio_oauth.optional_access_token)]) -> bool:
        return token is not None

    return app


async def test_the_last_configuration_is_used(
    app: FastAPI, make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The router and the dependency may be imported before it. The gem kept its first configuration."""
    hub.auto_consent(hub.people[0].id)
    configure(make_settings(host="http://127.0.0.1:9"))
    configure(make_settings(), after_approve=lambda request, token, origin: "/hooked")
    visitor = Visitor(app)

    assert (await visitor.log_in()).headers["location"] == "/hooked"
    assert (await visitor.get("/me")).json() == hub.people[0].id
    assert (await visitor.get("/maybe")).json() is True
    await visitor.aclose()


def test_environment_variables_alone_are_enough(app: FastAPI, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """``configure`` is not needed."""
    for name, value in {
        "ENVIRONMENT": "test",
        "HOST": "http://127.0.0.1:9",
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "ENCRYPTION_KEYS": KEY,
        "CLIENTS__WAREHOUSE__CLIENT_ID": "id",
    }.items():
        monkeypatch.setenv(f"ZAIKIO_{name}", value)
    with TestClient(app) as client:
        logged_in_as(client, "anna")
        assert client.get("/me").json() == "anna"


def test_missing_settings_are_reported_when_the_app_starts(app: FastAPI) -> None:
    """The error does not wait for the first login."""
    with pytest.raises(ConfigurationError, match="ZAIKIO_ENCRYPTION_KEYS is missing"), TestClient(app):
        raise AssertionError("unreachable")


async def test_every_module_level_function_works(
    make_settings: Callable[..., Settings], organization: HubOrganization
) -> None:
    """The functions pass their arguments to the default instance."""
    bearer: dict[str, Any] = {"bearer_type": "Organization", "bearer_id": organization.id}
    async with configure(make_settings()):
        token = await zaikio_oauth.get_access_token(**bearer, scopes=["zaikio.organization.r"], valid_for=60)
        assert await zaikio_oauth.find_usable_access_token(**bearer, requested_scopes=token.scopes) == token
        assert await zaikio_oauth.find_active_access_token(token.id, 60) == token
        async with zaikio_oauth.with_auth(**bearer) as found:
            assert found == token
        with zaikio_oauth.with_client("kiosk"):
            assert (
                await zaikio_oauth.find_usable_access_token(**bearer) is None
            )  # The token belongs to the other client.
        with pytest.raises(zaikio_oauth.InvalidGrantError):
            await zaikio_oauth.refresh(token)
        assert await zaikio_oauth.rotate_encryption_keys() == 0
        assert await zaikio_oauth.cleanup_access_tokens() == 0
        await zaikio_oauth.revoke(token)
        assert await zaikio_oauth.find_active_access_token(token.id) is None


def test_a_script_needs_only_with_auth(
    make_settings: Callable[..., Settings], hub: LocalHub, organization: HubOrganization
) -> None:
    """The script works in a plain ``asyncio.run``, and in a second one."""
    configure(make_settings())

    async def job() -> str:
        async with zaikio_oauth.with_auth(bearer_type="Organization", bearer_id=organization.id) as token:
            return token.id

    assert asyncio.run(job()) == asyncio.run(job())
    assert hub.count(grant_type="client_credentials") == 1


async def test_several_instances_are_independent(
    make_settings: Callable[..., Settings], hub: LocalHub, tmp_path: Any
) -> None:
    """Each has its own settings, store and default client."""
    hub.grant("warehouse-id", "Person", "x", ["a.b.r"])
    client = {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": ["a.b.r"]}
    first = ZaikioOAuth(make_settings(clients={"warehouse": client}))
    second = ZaikioOAuth(make_settings(database_url=f"sqlite:///{tmp_path}/second.db"))
    async with first, second:
        with first.with_client("warehouse"):
            assert client_name_of(second) == "warehouse"
        with second.with_client("kiosk"):
            assert (client_name_of(first), client_name_of(second)) == ("warehouse", "kiosk")
    assert "secret" not in f"{first!r}"
