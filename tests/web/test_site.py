"""A request to one of our routes is understood once."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI

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
