"""Hooks that raise: the error is the app's own, and no grant is left behind that nobody holds."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.middleware.sessions import SessionMiddleware

from tests.app_server import AppServer
from tests.apps import small_app
from tests.versions import SESSION_IS_ALWAYS_SENT
from tests.visitor import Visitor, query_of
from zaikio_oauth import Settings, TokenEvent, ZaikioOAuth
from zaikio_oauth.testing import LocalHub


class OwnError(Exception):
    """An error of the app's own."""


def raising(error: Exception, *, is_async: bool) -> Callable[..., Any]:
    """Return a hook that raises."""

    def hook(*arguments: object) -> Any:
        raise error

    async def async_hook(*arguments: object) -> Any:
        raise error

    return async_hook if is_async else hook


def switched(error: Exception) -> tuple[list[bool], Callable[..., Any]]:
    """Return a switch and a hook that raises while it is on."""
    on: list[bool] = []

    async def hook(*arguments: object) -> None:
        if on:
            raise error

    return on, hook


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@pytest.fixture
async def visiting(make_settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Visitor]]:
    """Yield a function that returns a visitor of an app with the given hooks, which answers its own errors with 418."""
    async with AsyncExitStack() as opened:

        def visit(**hooks: Any) -> Visitor:
            app: FastAPI = small_app(ZaikioOAuth(make_settings(), **hooks))

            @app.exception_handler(OwnError)
            async def own_error(request: Request, error: OwnError) -> JSONResponse:
                return JSONResponse({"error": "own"}, status_code=418)

            visitor = Visitor(app)
            opened.push_async_callback(visitor.aclose)
            return visitor

        yield visit


async def revoked_at(hub_url: str, visitor: Visitor) -> list[str]:
    """Return the ids that the Hub lists as revoked."""
    return (await visitor.hub.get(f"{hub_url}/api/v1/revoked_access_tokens")).json()["revoked_token_ids"]


@pytest.mark.parametrize(("error", "status"), [(OwnError("no"), 418), (HTTPException(403, "no"), 403)])
@pytest.mark.parametrize("kind", ["sessions", "connections"])
async def test_after_approve_that_raises_leaves_no_grant(
    visiting: Callable[..., Visitor],
    hub: LocalHub,
    hub_url: str,
    zaikio: ZaikioOAuth,
    kind: str,
    error: Exception,
    status: int,
) -> None:
    """What was just obtained is revoked and deleted; the former login stays, and the app answers its error itself."""
    person = hub.people[0]
    hub.auto_consent(person_id=person.id, organization_id=hub.organizations_of(person.id)[0].id)
    on, hook = switched(error)
    visitor = visiting(after_approve=hook)
    await visitor.log_in()
    await visitor.app.post("/remember", json={"cart": ["paper"]})
    before = visitor.session
    on.append(True)

    other, organization = hub.people[1], hub.organizations_of(person.id)[0]
    if kind == "sessions":
        hub.auto_consent(person_id=other.id)
    answer = await visitor.log_in(f"/zaikio/{kind}/new", force_login="true")

    assert answer.status_code == status
    assert SESSION_IS_ALWAYS_SENT or "set-cookie" not in answer.headers
    assert visitor.session == before
    assert (await visitor.get("/me")).json()["person"] == person.id
    assert len(await revoked_at(hub_url, visitor)) == 1
    for bearer_type, bearer_id in (("Person", other.id), ("Organization", organization.id)):
        assert await zaikio.find_usable_access_token(bearer_type=bearer_type, bearer_id=bearer_id) is None


async def test_a_session_that_is_written_anyway_has_the_former_login(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The app may write into the session at every request, so its cookie is sent with the error."""
    on, hook = switched(HTTPException(403, "no"))

    async def count(request: Request) -> None:
        request.session["seen"] = request.session.get("seen", 0) + 1

    async with ZaikioOAuth(make_settings(), after_approve=hook) as zaikio:
        app = FastAPI()
        app.add_middleware(SessionMiddleware, secret_key="secret")
        app.include_router(zaikio.router, prefix="/zaikio", dependencies=[Depends(count)])
        visitor = Visitor(app)
        await visitor.log_in()
        before = visitor.session
        on.append(True)
        hub.auto_consent(person_id=hub.people[1].id)
        answer = await visitor.log_in(force_login="true")
        await visitor.aclose()

    assert answer.status_code == 403
    assert visitor.session == before | {"seen": 4}


@pytest.mark.parametrize("target", [7, {"next": "/"}, ["/"]])
async def test_a_hook_that_returns_nonsense_has_failed(
    visiting: Callable[..., Visitor], hub_url: str, target: Any
) -> None:
    """The error names the type; the grant is revoked."""
    visitor = visiting(after_approve=lambda *arguments: target)

    with pytest.raises(TypeError, match=f"not {type(target).__name__}"):
        await visitor.log_in()

    assert visitor.session == {}
    assert len(await revoked_at(hub_url, visitor)) == 1


async def test_a_cancelled_after_approve_leaves_no_grant(make_settings: Callable[..., Settings], hub_url: str) -> None:
    """The request may have been given up by a time-out of the app; the grant is revoked in the background."""
    reached = asyncio.Event()

    async def after_approve(*arguments: object) -> None:
        reached.set()
        await asyncio.sleep(60)

    async with ZaikioOAuth(make_settings(), after_approve=after_approve) as zaikio:
        visitor = Visitor(small_app(zaikio))
        login = asyncio.create_task(visitor.log_in())
        await reached.wait()
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
    assert len(await revoked_at(hub_url, visitor)) == 1
    await visitor.aclose()


@pytest.mark.parametrize("is_async", [False, True])
async def test_after_destroy_that_raises_comes_after_the_logout(
    visiting: Callable[..., Visitor], hub_url: str, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    """The person is logged out here and at the Hub, also in the browser; the error is logged and answered with 500."""
    visitor = visiting(after_destroy=raising(RuntimeError("the app's own"), is_async=is_async))
    await visitor.log_in()
    await visitor.app.post("/remember", json={"theme": "dark"})

    answer = await visitor.app.delete("/zaikio/session")

    assert (answer.status_code, answer.headers["cache-control"]) == (500, "no-store")
    assert "the app's own" not in answer.text
    assert visitor.session == {"theme": "dark"}
    assert (await visitor.get("/me")).status_code == 401
    assert len(await revoked_at(hub_url, visitor)) == 1
    assert [str(record.exc_info and record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "the app's own"
    ]


async def test_after_destroy_may_raise_an_http_exception(visiting: Callable[..., Visitor]) -> None:
    """FastAPI answers it inside the session, so the cookie is cleared as well."""
    visitor = visiting(after_destroy=raising(HTTPException(410, "gone"), is_async=True))
    await visitor.log_in()

    assert (await visitor.app.delete("/zaikio/session")).status_code == 410
    assert visitor.session == {}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", ["locale", "verify_state", "on_error"])
async def test_a_hook_that_raises_at_the_start_or_on_the_way_back_loses_nothing(
    visiting: Callable[..., Visitor], hub: LocalHub, name: str, is_async: bool
) -> None:
    """The app answers the error itself, no flow is begun, no request is made, and the person stays logged in."""
    on: list[bool] = []
    failing = raising(OwnError("no"), is_async=is_async)
    visitor = visiting(**{name: lambda *arguments: failing() if on else None})
    await visitor.log_in()
    before, requests = visitor.session, hub.count(path="/oauth/access_token")
    on.append(True)

    path = "/zaikio/sessions/new" if name == "locale" else "/zaikio/connections/approve?state=mailed&code=x"
    answer = await visitor.get(path)

    assert answer.status_code == 418
    assert visitor.flows == []
    assert hub.count(path="/oauth/access_token") == requests
    assert (await visitor.get("/me")).status_code == 200
    assert visitor.session.keys() >= before.keys()


@pytest.mark.parametrize("answer", ["de", "de-AT", "de_AT"])
async def test_an_async_locale_is_awaited(visiting: Callable[..., Visitor], answer: str) -> None:
    """Its language goes to the Hub and is used for the error."""

    async def locale(request: Request) -> str:
        await asyncio.sleep(0)
        return answer

    visitor = visiting(locale=locale)
    query = query_of(await visitor.start())
    await visitor.get("/zaikio/sessions/approve?code=x")

    assert query["lang"] == answer
    assert "Anmeldung" in (await visitor.get("/")).json()["error"]["message"]


@pytest.mark.parametrize("answer", [7, "", "x" * 500, "d\ne", "\ud800", ["de"]])
async def test_a_locale_that_is_none_is_ignored(visiting: Callable[..., Visitor], answer: Any) -> None:
    """The browser's language is used instead."""
    visitor = visiting(locale=lambda request: answer)

    started = await visitor.get("/zaikio/sessions/new", headers={"Accept-Language": "fr"})

    assert query_of(started.headers["location"])["lang"] == "fr"


async def test_an_async_listener_hears_of_every_event(
    make_settings: Callable[..., Settings], hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it, a shutdown does, and its failure is logged once."""
    heard: list[str] = []
    release = threading.Event()

    async def listen(event: TokenEvent) -> None:
        while not release.is_set():
            await asyncio.sleep(0.01)
        heard.append(event.kind)
        raise OwnError("the listener's own")

    with AppServer(small_app(ZaikioOAuth(make_settings(), on_token_event=listen))) as server:
        hub.fail("authorization_code", status=200, body={"access_token": "x", "bearer": {"id": "1", "type": "Person"}})
        async with httpx2.AsyncClient(base_url=server.url) as browser:
            state = query_of((await browser.get("/zaikio/sessions/new")).headers["location"])["state"]
            await browser.get(f"/zaikio/sessions/approve?state={state}&code=x")
            assert (await browser.get("/me")).status_code == 200
            assert (await browser.delete("/zaikio/session")).status_code == 303
        assert heard == []
        release.set()

    assert sorted(heard) == ["obtained", "revoked"]
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in failures] == ["A listener of token events failed."] * 2


def test_an_async_listener_is_heard_out_at_the_end_of_a_script(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """``asyncio.run`` cancels what is left when the last line is done, but not this."""
    heard: list[str] = []

    async def listen(event: TokenEvent) -> None:
        await asyncio.sleep(0.2)
        heard.append(event.kind)

    async def script() -> None:
        zaikio = ZaikioOAuth(make_settings(), on_token_event=listen)
        hub.fail("client_credentials", status=400, body={"error": "invalid_scope"})
        with pytest.raises(Exception, match="invalid_scope"):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id="1")

    asyncio.run(script())
    assert heard == ["refused"]


async def test_leaving_waits_for_an_async_listener(make_settings: Callable[..., Settings], hub: LocalHub) -> None:
    """Whoever has left ``async with`` has heard of everything that happened inside."""
    heard: list[str] = []

    async def listen(event: TokenEvent) -> None:
        await asyncio.sleep(0.2)
        heard.append(event.kind)

    async with ZaikioOAuth(make_settings(), on_token_event=listen) as zaikio:
        hub.fail("client_credentials", status=400, body={"error": "invalid_scope"})
        with pytest.raises(Exception, match="invalid_scope"):
            await zaikio.get_access_token(bearer_type="Organization", bearer_id="1")
    assert heard == ["refused"]
