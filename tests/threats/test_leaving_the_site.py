"""No address leads a person from this site to another one (RFC 9700 §4.11; the URL standard says how a browser reads it).

The addresses come in by every door: the parameter ``origin``, the session, the app's hooks, and a request's own path.
The oracle is a real Chromium, which reads every ``Location`` that we have sent, so that our parser is not its own judge.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import Depends, FastAPI
from itsdangerous import TimestampSigner
from playwright.async_api import Page
from starlette.types import Message, Scope

from tests.apps import small_app
from tests.data import TOKEN_RESPONSE
from tests.threats.addresses import SITE, addresses
from tests.visitor import query_of
from zaikio_oauth import AccessToken, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def every_code_is_accepted(hub: LocalHub) -> None:
    """The token endpoint answers at once, so that a thousand logins are quick."""
    hub.fail("authorization_code", times=None, status=200, body=TOKEN_RESPONSE)


@pytest.fixture
async def zaikio(make_settings: Callable[..., Settings]) -> AsyncIterator[ZaikioOAuth]:
    """Yield an instance whose database is in memory where there is such a folder: a thousand logins are stored."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        async with ZaikioOAuth(make_settings(database_url=f"sqlite:///{folder}/app.db")) as opened:
            yield opened


async def origins_in_chromium(
    page: Page, urls: Iterable[str], base: str = f"{SITE}/zaikio/sessions/approve"
) -> list[str]:
    """Return the origin to which Chromium goes for each value of ``Location``; that of the base if it goes nowhere."""
    script = """([urls, base]) => urls.map(url => {
        try { return new URL(url, base).origin } catch { return new URL(base).origin }
    })"""
    return await page.evaluate(script, [list(urls), base])


async def assert_all_stay(page: Page, sent: dict[str, str]) -> None:
    """Fail with each address that led elsewhere. ``sent`` has the ``Location`` for each of them."""
    origins = await origins_in_chromium(page, sent.values())
    assert {address: sent[address] for address, origin in zip(sent, origins, strict=True) if origin != SITE} == {}
    assert [location for location in sent.values() if not location.isascii() or not location.isprintable()] == []


def session_with(content: dict[str, Any]) -> dict[str, str]:
    """Return the cookie of a session with this content, as Starlette makes it."""
    data = b64encode(json.dumps(content).encode())
    return {"session": TimestampSigner("session-secret-of-the-tests").sign(data).decode()}


async def place_after_login(app: FastAPI, query: str = "", session: dict[str, Any] | None = None) -> str:
    """Log in, and return the ``Location`` of the response to the callback."""
    transport = httpx2.ASGITransport(app=app)
    cookies = session_with(session) if session else {}
    async with httpx2.AsyncClient(transport=transport, base_url=SITE, cookies=cookies) as browser:
        started = await browser.get(f"/zaikio/sessions/new?{query}")
        assert started.status_code == 302, started.text
        state = query_of(started.headers["location"])["state"]
        answer = await browser.get("/zaikio/sessions/approve", params={"state": state, "code": "a-code"})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


async def places_after_login(app: FastAPI, logins: dict[str, dict[str, Any]], every: int = 1) -> dict[str, str]:
    """Return the ``Location`` after each login, or after every third, where another door leads to the same check."""
    chosen = dict(list(logins.items())[::every])
    few = asyncio.Semaphore(8)

    async def log_in(arguments: dict[str, Any]) -> str:
        async with few:
            return await place_after_login(app, **arguments)

    return dict(zip(chosen, await asyncio.gather(*map(log_in, chosen.values())), strict=True))


async def test_the_addresses_do_try_to_leave(page: Page) -> None:
    """There are at least 500 of them, and a browser that was sent there unchecked would leave by a third of them."""
    made = addresses()

    origins = await origins_in_chromium(page, made)

    assert len(made) >= 500
    assert len([origin for origin in origins if origin != SITE]) >= 200


async def test_a_parameter_does_not_lead_away(app: FastAPI, page: Page) -> None:
    """``origin`` of ``sessions/new`` is followed on this site or not at all."""
    logins = {each: {"query": f"origin={quote(each, safe='')}"} for each in addresses()}

    await assert_all_stay(page, await places_after_login(app, logins))


async def test_the_session_does_not_lead_away(app: FastAPI, page: Page) -> None:
    """``session["origin"]`` is the app's, who may have taken it from a request."""
    logins = {each: {"session": {"origin": each}} for each in addresses()}

    await assert_all_stay(page, await places_after_login(app, logins, every=3))


PageView = Callable[[str, str], Awaitable[str | None]]


def page_view_of(app: FastAPI) -> PageView:
    """Return a function that views a page at exactly this path, and returns ``Location``; a client would tidy it up."""

    async def view(path: str, query: str = "") -> str | None:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": quote(path).encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(b"host", b"testserver"), (b"accept", b"text/html")], "server": ("testserver", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        return dict(sent[0]["headers"]).get(b"location", b"").decode("latin-1") or None

    return view


async def test_the_way_to_the_login_does_not_lead_away(zaikio: ZaikioOAuth, page: Page) -> None:
    """A page of the app at an odd path sends to our login, and from there back to this site."""
    app = small_app(zaikio)

    @app.get("/{path:path}")
    async def anything(path: str, token: Annotated[AccessToken, Depends(zaikio.current_access_token)]) -> None: ...

    view, to_login = page_view_of(app), {}
    for each in addresses():
        # A server passes on every path that begins with a slash, after decoding it. Starlette's router finds no page
        # at a path with a line feed.
        path = each if each.startswith("/") else f"/{each}"
        if "\n" not in path:
            to_login[each] = await view(path, quote(each, safe="=&")) or "no redirect"
    logins = {each: {"query": url.partition("?")[2]} for each, url in to_login.items()}
    back = await places_after_login(app, logins, every=3)

    assert [url for url in to_login.values() if not url.startswith("/zaikio/sessions/new?origin=%2F")] == []
    await assert_all_stay(page, to_login)
    await assert_all_stay(page, back)


async def test_a_hook_does_not_lead_away(make_settings: Callable[..., Settings], page: Page) -> None:
    """A text that a hook returns is a path of this site; whoever wants to leave it returns a Response."""
    landing: list[str] = []
    options: Any = {
        "after_destroy": lambda request, token_id: landing[-1],
        "on_error": lambda request, error: landing[-1],
    }
    after_logout, after_error = {}, {}
    async with ZaikioOAuth(make_settings(), **options) as zaikio:
        transport = httpx2.ASGITransport(app=small_app(zaikio))
        async with httpx2.AsyncClient(transport=transport, base_url=SITE) as browser:
            for each in [*addresses(), "/orders?page=2#open", f"{SITE}/orders"]:
                landing.append(each)
                after_logout[each] = (await browser.post("/zaikio/session/delete")).headers["location"]
                after_error[each] = (await browser.get("/zaikio/sessions/approve")).headers["location"]

    await assert_all_stay(page, after_logout)
    await assert_all_stay(page, after_error)
    assert after_logout["/orders?page=2#open"] == "/orders?page=2#open"
    assert after_logout[f"{SITE}/orders"] in ("/orders", f"{SITE}/orders")
