"""A request to one of our routes is understood once."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.apps import small_app
from tests.visitor import Visitor, query_of
from zaikio_oauth import ZaikioOAuth
from zaikio_oauth.testing import LocalHub


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants whatever the app asks for."""
    hub.auto_consent(person_id=hub.people[0].id)


class Calls:
    """Counts the calls of functions in ``web/`` while the ``with`` body runs."""

    def __enter__(self) -> Counter[str]:
        self.counted: Counter[str] = Counter()
        sys.setprofile(self._count)
        return self.counted

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "/zaikio_oauth/web/" in frame.f_code.co_filename:
            self.counted[frame.f_code.co_qualname] += 1


async def test_a_login_searches_the_apps_routes_for_nothing(visitor: Visitor) -> None:
    """Client, address, paths and cookies are worked out once per request, from the request's own path."""
    for step in ("start", "approve"):
        url = "/zaikio/sessions/new" if step == "start" else await visitor.consent(await visitor.start())
        with Calls() as calls:
            await visitor.get(url)
        assert calls["Site.visit"] == 1
        assert calls["Site.client"] == 1
        assert calls["FlowCookies.__init__"] == 1
        assert calls["PublicAddress.__init__"] == 1
        assert calls["route_path"] == 0


async def test_a_subscription_searches_for_the_callback_once(visitor: Visitor) -> None:
    """It returns to a route of another kind, which the app may have included under another prefix."""
    with Calls() as calls:
        await visitor.get("/zaikio/subscriptions/new")
    assert calls["route_path"] == 1


async def test_a_subscription_returns_to_the_connections_router_wherever_it_is(
    zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """The cookie of the flow goes where the callback is."""
    callback = "http://testserver/install/warehouse/connections/approve"
    hub.apps[0] = replace(hub.apps[0], redirect_uris=(callback,))
    app: FastAPI = small_app(zaikio, prefix="/unused")
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") == "/"]
    app.include_router(zaikio.subscriptions_router, prefix="/subscribe")
    app.include_router(zaikio.connections_router, prefix="/install")
    visitor = Visitor(app)
    async with app.router.lifespan_context(app):
        url = await visitor.start("/subscribe/warehouse/subscriptions/new")
        assert query_of(url)["redirect_uri"] == callback
        assert [cookie.path for cookie in visitor.app.cookies.jar] == ["/install"]
        answer = await visitor.get(await visitor.consent(url))
    assert (answer.status_code, answer.headers["location"], visitor.session) == (303, "/", {})
    await visitor.aclose()


class ChooseKiosk:
    """A middleware that makes ``kiosk`` the default client of requests with ``?kiosk=1``."""

    def __init__(self, app: ASGIApp, zaikio: ZaikioOAuth) -> None:
        self.app = app
        self.zaikio = zaikio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"kiosk=1" in scope["query_string"]:
            with self.zaikio.with_client("kiosk"):
                await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)


async def test_a_flow_that_starts_again_keeps_its_client(app: FastAPI, zaikio: ZaikioOAuth) -> None:
    """The default client of the callback may be another one than that of the start."""
    visitor = Visitor(ChooseKiosk(app, zaikio))
    callback = await visitor.consent(await visitor.start(kiosk="1"))
    again = await visitor.get(re.sub("code=[^&]*", "code=spent", callback))

    assert query_of(again.headers["location"])["client_id"] == "kiosk-id"
    answer = await visitor.get(await visitor.consent(again.headers["location"]))
    assert (answer.headers["location"], "zaikio_person_id" in visitor.session) == ("/", True)
    await visitor.aclose()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("acme", "acme", id="plain"),
        pytest.param("a%20b", "a%20b", id="a space"),
        pytest.param("50%25", "50%25", id="a percent sign"),
        pytest.param("50%2520", "50%2520", id="an encoded percent sign"),
        pytest.param("a%40b", "a%40b", id="an at sign"),
        pytest.param("%C3%BC", "%C3%BC", id="an umlaut"),
    ],
)
async def test_a_tenant_in_the_prefix_keeps_its_spelling(zaikio: ZaikioOAuth, typed: str, expected: str) -> None:
    """In the redirect URI and in the path of the cookie: otherwise the login would end with another tenant."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    app.include_router(zaikio.router, prefix="/{tenant}/zaikio")
    visitor = Visitor(app)
    url = await visitor.start(f"/{typed}/zaikio/warehouse/sessions/new")

    assert query_of(url)["redirect_uri"] == f"http://testserver/{expected}/zaikio/warehouse/sessions/approve"
    assert [cookie.path for cookie in visitor.app.cookies.jar] == [f"/{expected}/zaikio"]
    await visitor.aclose()


async def test_each_prefix_returns_to_itself(zaikio: ZaikioOAuth) -> None:
    """One router, included twice."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="secret")
    for prefix in ("/one", "/two"):
        app.include_router(zaikio.router, prefix=prefix)
    visitor = Visitor(app)
    for prefix in ("/one", "/two"):
        url = await visitor.start(f"{prefix}/sessions/new")
        assert query_of(url)["redirect_uri"] == f"http://testserver{prefix}/sessions/approve"
    await visitor.aclose()
