"""The app's own steps, sync and async."""

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
from zaikio_oauth import AccessToken, LoginError, Settings, ZaikioOAuth, login_error
from zaikio_oauth.testing import LocalHub


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants whatever is asked."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
async def visiting(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Visitor]]:
    """A visitor of an app with these hooks."""
    async with AsyncExitStack() as opened:

        def visit(**hooks: Any) -> Visitor:
            visitor = Visitor(small_app(ZaikioOAuth(make_settings(), **hooks)))
            opened.push_async_callback(visitor.aclose)
            return visitor

        yield visit


async def test_after_approve_says_where_to_go(visiting: Callable[..., Visitor]) -> None:
    """It gets the request, the token and the safe origin; the session already knows the person."""

    async def after_approve(request: Request, token: AccessToken, origin: str | None) -> str:
        return f"{origin}?welcome={request.session['zaikio_person_id'] == token.bearer_id}"

    visitor = visiting(after_approve=after_approve)

    assert (await visitor.log_in(origin="/page")).headers["location"] == "/page?welcome=True"


async def test_after_approve_may_answer_itself(visiting: Callable[..., Visitor]) -> None:
    """Its page is kept out of caches like ours, and the flow is over."""
    visitor = visiting(after_approve=lambda request, token, origin: HTMLResponse("<h1>Hello</h1>"))

    answer = await visitor.log_in()

    assert (answer.status_code, answer.text) == (200, "<h1>Hello</h1>")
    assert answer.headers["cache-control"] == "no-store"
    assert visitor.flows == []
    assert (await visitor.get("/me")).status_code == 200


async def test_after_approve_that_says_nothing_changes_nothing(visiting: Callable[..., Visitor]) -> None:
    """A hook that only looks."""
    seen: list[str] = []
    visitor = visiting(after_approve=lambda request, token, origin: seen.append(token.id))

    assert (await visitor.log_in(origin="/page")).headers["location"] == "/page"
    assert seen == [visitor.session["zaikio_access_token_id"]]


async def test_after_destroy_says_where_to_go(visiting: Callable[..., Visitor]) -> None:
    """It is told which token it was; None when nobody was logged in."""
    visitor = visiting(after_destroy=lambda request, access_token_id: f"/bye?{access_token_id is not None}")
    await visitor.log_in()

    assert (await visitor.app.delete("/zaikio/session")).headers["location"] == "/bye?True"
    assert (await visitor.app.delete("/zaikio/session")).headers["location"] == "/bye?False"


async def test_on_error_may_lead_to_a_page_that_reads_the_error(visiting: Callable[..., Visitor]) -> None:
    """A path or a redirect: the error waits in the session."""
    for target in ["/login-failed", RedirectResponse("/login-failed")]:
        visitor = visiting(on_error=lambda request, error, target=target: target)
        answer = await visitor.get("/zaikio/sessions/approve?code=x")
        assert answer.headers["location"] == "/login-failed"
        assert (await visitor.get("/")).json()["error"]["code"] == "invalid_state"


async def test_on_error_may_show_the_error_itself(visiting: Callable[..., Visitor]) -> None:
    """Then it is not shown a second time."""
    visitor = visiting(on_error=lambda request, error: HTMLResponse(error.message, status_code=400))

    answer = await visitor.get("/zaikio/sessions/approve?code=x")

    assert (answer.status_code, "log in again" in answer.text) == (400, True)
    assert (await visitor.get("/")).json()["error"] is None


async def test_on_error_hears_of_a_cancelled_login_too(visiting: Callable[..., Visitor], hub: LocalHub) -> None:
    """Though nothing is kept for the person."""
    seen: list[LoginError] = []
    visitor = visiting(on_error=lambda request, error: seen.append(error))
    hub.auto_cancel()

    await visitor.log_in()

    assert [error.code for error in seen] == ["access_denied"]
    assert visitor.session == {}


async def test_verify_state_vouches_for_a_state_minted_elsewhere(
    visiting: Callable[..., Visitor], hub: LocalHub, hub_url: str
) -> None:
    """A link in a mail leads to the Hub directly; only the app can know its state."""
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
    await visitor.get(await visitor.consent(link + "mailed-to-anna"))
    assert (await visitor.get("/me")).json()["scopes"] == ["zaikio.person.r"]
    assert asked == ["forged", "mailed-to-anna"]


async def test_verify_state_is_not_asked_about_our_own(visiting: Callable[..., Visitor]) -> None:
    """Nor can it let a used one in again."""
    visitor = visiting(verify_state=lambda request, state: pytest.fail("asked"))

    assert (await visitor.log_in()).status_code == 303


async def test_an_app_can_leave_a_router_out_and_guard_another(zaikio: ZaikioOAuth) -> None:
    """The gem's custom controllers: separate routers, and dependencies on them."""

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


async def test_a_router_brings_start_up_and_shutdown_along(make_settings: Callable[..., Settings]) -> None:
    """The app's own start-up runs first, and ours is shut down first; also by way of another router."""
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


def test_login_error_reads_any_session_without_failing() -> None:
    """The app may have written there."""

    class FakeConnection:
        headers: dict[str, str] = {}

        def __init__(self, session: Any) -> None:
            self.scope = {"session": session}

    for ours in [None, 1, "x", [], {}, {"error": 1}, {"error": None}]:
        assert login_error(FakeConnection({"zaikio_oauth": ours})) is None  # type: ignore[arg-type]
