"""The hooks of an app, as functions and as coroutine functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from tests.apps import small_app
from tests.inside import parts_of
from tests.visitor import Visitor, query_of
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth, login_error
from zaikio_oauth.testing import LocalHub


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
async def visiting(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Visitor]]:
    """Yield a function that returns a visitor of an app with the given hooks."""
    async with AsyncExitStack() as opened:

        def visit(**hooks: Any) -> Visitor:
            visitor = Visitor(small_app(ZaikioOAuth(make_settings(), **hooks)))
            opened.push_async_callback(visitor.aclose)
            return visitor

        yield visit


async def test_after_approve_chooses_the_next_page(visiting: Callable[..., Visitor]) -> None:
    """The hook receives the request, the token and the validated origin, and the session already contains the person."""

    async def after_approve(request: Request, token: AccessToken, origin: str | None) -> str:
        return f"{origin}?welcome={request.session['zaikio_person_id'] == token.bearer_id}"

    visitor = visiting(after_approve=after_approve)

    assert (await visitor.log_in(origin="/page")).headers["location"] == "/page?welcome=True"


async def test_after_approve_may_return_a_response(visiting: Callable[..., Visitor]) -> None:
    """The response of the hook gets ``no-store`` like ours, and the flow is over."""
    visitor = visiting(after_approve=lambda request, token, origin: HTMLResponse("<h1>Hello</h1>"))

    answer = await visitor.log_in()

    assert (answer.status_code, answer.text) == (200, "<h1>Hello</h1>")
    assert answer.headers["cache-control"] == "no-store"
    assert visitor.flows == []
    assert (await visitor.get("/me")).status_code == 200


async def test_after_approve_may_return_none(visiting: Callable[..., Visitor]) -> None:
    """The person is then redirected to the origin as usual."""
    seen: list[str] = []
    visitor = visiting(after_approve=lambda request, token, origin: seen.append(token.id))

    assert (await visitor.log_in(origin="/page")).headers["location"] == "/page"
    assert seen == [visitor.session["zaikio_access_token_id"]]


async def test_after_destroy_chooses_the_next_page(visiting: Callable[..., Visitor]) -> None:
    """The hook receives the id of the token, or None if nobody was logged in."""
    visitor = visiting(after_destroy=lambda request, access_token_id: f"/bye?{access_token_id is not None}")
    await visitor.log_in()

    assert (await visitor.app.delete("/zaikio/session")).headers["location"] == "/bye?True"
    assert (await visitor.app.delete("/zaikio/session")).headers["location"] == "/bye?False"


async def test_on_error_may_choose_the_page_that_shows_the_error(visiting: Callable[..., Visitor]) -> None:
    """The hook returns a path or a redirect, and the error is kept in the session for that page."""
    for target in ["/login-failed", RedirectResponse("/login-failed")]:
        visitor = visiting(on_error=lambda request, error, target=target: target)
        answer = await visitor.get("/zaikio/sessions/approve?code=x")
        assert answer.headers["location"] == "/login-failed"
        assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"


@pytest.mark.parametrize("status", [200, 400])
async def test_on_error_may_return_a_response(visiting: Callable[..., Visitor], status: int) -> None:
    """The error is then not kept in the session."""
    visitor = visiting(on_error=lambda request, error: HTMLResponse(error.message, status_code=status))

    answer = await visitor.get("/zaikio/sessions/approve?code=x")

    assert (answer.status_code, "Please try again" in answer.text) == (status, True)
    assert (await visitor.get("/")).json()["error"] is None


async def test_on_error_is_called_for_a_cancelled_login(visiting: Callable[..., Visitor], hub: LocalHub) -> None:
    """The session contains no error, because the person already knows."""
    seen: list[tuple[str, str]] = []
    visitor = visiting(on_error=lambda request, error: seen.append((request.url.path, error.code)))
    hub.auto_cancel()

    await visitor.log_in()

    assert seen == [("/zaikio/sessions/approve", "access_denied")]
    assert visitor.session == {}


async def test_verify_state_accepts_a_state_that_the_app_has_created(
    visiting: Callable[..., Visitor], hub: LocalHub, hub_url: str
) -> None:
    """A link in an email leads straight to the Hub, so only the app can know its state."""
    asked: list[str] = []

    async def verify_state(request: Request, state: str) -> bool:
        asked.append(state)
        return state == "mailed-to-anna"

    visitor = visiting(verify_state=verify_state)
    link = (
        f"{hub_url}/oauth/authorize?client_id=warehouse-id&response_type=code&scope=zaikio.person.r"
        "&redirect_uri=http://testserver/zaikio/sessions/approve&state="
    )

    await visitor.get(await visitor.consent(link + "forged"))
    assert (await visitor.get("/me")).status_code == 401
    await visitor.app.post("/remember", json={"origin": "/claimed"})
    answer = await visitor.get(await visitor.consent(link + "mailed-to-anna"))
    assert answer.headers["location"] == "/claimed"
    assert (await visitor.get("/me")).json()["scopes"] == ["zaikio.person.r"]
    assert asked == ["forged", "mailed-to-anna"]


async def test_verify_state_is_not_called_for_our_own_states(visiting: Callable[..., Visitor]) -> None:
    """So the hook cannot accept a state of ours a second time."""
    visitor = visiting(verify_state=lambda request, state: pytest.fail("asked"))

    assert (await visitor.log_in()).status_code == 303


async def test_an_app_can_omit_one_router_and_protect_another(zaikio: ZaikioOAuth) -> None:
    """Separate routers with dependencies replace the gem's custom controllers."""

    async def only_admins(request: Request) -> None:
        if request.headers.get("x-admin") != "yes":
            raise HTTPException(403, "only for admins")

    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="x")
    app.include_router(zaikio.sessions_router, prefix="/auth")
    app.include_router(zaikio.connections_router, prefix="/install", dependencies=[Depends(only_admins)])
    visitor = Visitor(app)

    assert (
        query_of(await visitor.start("/auth/sessions/new"))["redirect_uri"] == "http://testserver/auth/sessions/approve"
    )
    assert (await visitor.get("/install/connections/new")).status_code == 403
    admin = await visitor.get("/install/connections/new", headers={"x-admin": "yes"})
    assert query_of(admin.headers["location"])["redirect_uri"] == "http://testserver/install/connections/approve"
    assert (await visitor.get("/auth/subscriptions/new")).status_code == 404
    await visitor.aclose()


async def test_a_router_includes_its_startup_and_shutdown(make_settings: Callable[..., Settings]) -> None:
    """This holds for a router that is included in another one, too."""
    events: list[Any] = []
    zaikio = ZaikioOAuth(make_settings())
    outer = APIRouter()
    outer.include_router(zaikio.router, prefix="/zaikio")
    app = FastAPI()
    app.include_router(outer)

    async with app.router.lifespan_context(app):
        opened = await parts_of(zaikio)
        events.append(opened is await parts_of(zaikio))
    reopened = await parts_of(zaikio)
    events.append(opened is reopened)

    assert events == [True, False]


def test_login_error_accepts_any_session_content() -> None:
    """It returns None for anything that is not an error of ours, because the app can write to the session as well."""

    for ours in [None, 1, "x", [], {}, {"error": 1}, {"error": None}]:
        assert login_error(Request({"type": "http", "headers": [], "session": {"zaikio_oauth": ours}})) is None
