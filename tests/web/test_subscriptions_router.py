"""A subscription returns to a route of another router, which the app has to include too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware

from tests.visitor import BASE_URL, Visitor, query_of
from zaikio_oauth import ConfigurationError, Settings, ZaikioOAuth


@pytest.fixture
def app() -> FastAPI:
    """Return an app with a session."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    return app


async def test_an_app_without_the_connections_router_does_not_start(app: FastAPI, zaikio: ZaikioOAuth) -> None:
    """The error says what to include."""
    app.include_router(zaikio.subscriptions_router, prefix="/zaikio")

    with pytest.raises(ConfigurationError, match="includes no connections router"):
        async with app.router.lifespan_context(app):
            pytest.fail("started")


async def test_the_router_of_another_instance_does_not_count(
    app: FastAPI, zaikio: ZaikioOAuth, make_settings: Callable[..., Settings]
) -> None:
    """It would not know the flow."""
    app.include_router(zaikio.connections_router, prefix="/one")
    app.include_router(ZaikioOAuth(make_settings()).subscriptions_router, prefix="/two")

    with pytest.raises(ConfigurationError, match="includes no connections router"):
        async with app.router.lifespan_context(app):
            pytest.fail("started")
    visitor = Visitor(app)
    assert (await visitor.get("/two/subscriptions/new")).status_code == 404
    await visitor.aclose()


async def test_without_a_start_the_route_is_not_found(
    app: FastAPI, zaikio: ZaikioOAuth, caplog: pytest.LogCaptureFixture
) -> None:
    """An app that is mounted in another one is not started; the log says what to include."""
    app.include_router(zaikio.subscriptions_router, prefix="/zaikio")
    visitor = Visitor(app)

    answer = await visitor.get("/zaikio/subscriptions/new")

    assert (answer.status_code, answer.json()["detail"]) == (404, "This site has no connections.")
    assert "include the connections router too" in caplog.text
    await visitor.aclose()


async def test_the_order_of_the_routers_does_not_matter(app: FastAPI, zaikio: ZaikioOAuth) -> None:
    """All of them are there when the app starts."""
    app.include_router(zaikio.subscriptions_router, prefix="/zaikio")
    app.include_router(zaikio.connections_router, prefix="/install")

    async with app.router.lifespan_context(app):
        visitor = Visitor(app)
        query = query_of(await visitor.start("/zaikio/subscriptions/new"))
        assert query["redirect_uri"] == f"{BASE_URL}/install/connections/approve"
        await visitor.aclose()


@pytest.mark.parametrize("client", ["", "/warehouse"])
async def test_each_prefix_returns_to_itself(app: FastAPI, zaikio: ZaikioOAuth, client: str) -> None:
    """One router, included twice: the cookie of the flow is sent to one of them only."""
    for prefix in ("/one", "/two"):
        app.include_router(zaikio.router, prefix=prefix)
    visitor = Visitor(app)

    for prefix in ("/one", "/two"):
        query = query_of(await visitor.start(f"{prefix}{client}/subscriptions/new"))
        assert query["redirect_uri"] == f"{BASE_URL}{prefix}{client}/connections/approve"
    await visitor.aclose()
