"""The same callback several times, and a callback whose flow is over: nobody who is logged in loses that.

Requests run in parallel over real sockets, against one process and against two that share a database.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest

from tests.app_server import AppServer
from tests.apps import small_app
from tests.data import KEY, SECRET, TOKEN_RESPONSE
from tests.versions import SESSION_IS_ALWAYS_SENT
from tests.visitor import Visitor, query_of
from zaikio_oauth import LoginError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub
from zaikio_oauth.web.flow import LIFETIME
from zaikio_oauth.web.flow_cookie import flow_fernet

pytestmark = pytest.mark.skipif(
    SESSION_IS_ALWAYS_SENT,
    reason="With this Starlette, each response overwrites what another one has put into the session.",
)


@pytest.fixture(autouse=True)
def consenting(hub: LocalHub) -> None:
    """The person grants all requested scopes."""
    hub.auto_consent(person_id=hub.people[0].id)


@contextmanager
def one_process(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the address of one app, twice."""
    with AppServer(small_app(ZaikioOAuth(settings))) as server:
        yield server.url, server.url


@contextmanager
def two_processes(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the addresses of two processes that share the database."""
    values = {
        "host": settings.host,
        "database_url": settings.database_url,
        "encryption_keys": [KEY],
        "clients": {"warehouse": {"client_id": "warehouse-id", "client_secret": SECRET, "default_scopes": "a.b.r"}},
    }
    with ExitStack() as stack:
        urls = []
        for _ in range(2):
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.set_inheritable(True)
            arguments = [sys.executable, "-m", "tests.web.app_process", json.dumps(values), str(listening.fileno())]
            process = subprocess.Popen(arguments, pass_fds=[listening.fileno()])
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            urls.append(f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield urls[0], urls[1]


@pytest.mark.parametrize("processes", [one_process, two_processes])
async def test_a_double_click_logs_in_once(
    make_settings: Callable[..., Settings], hub: LocalHub, processes: Callable[..., Any]
) -> None:
    """Both responses lead to the origin, and only the first writes a cookie, so whichever comes last changes nothing."""
    hub.fail("authorization_code", status=200, body=TOKEN_RESPONSE, latency=0.5, times=None)
    with processes(make_settings()) as urls:
        async with httpx2.AsyncClient(timeout=60) as browser:
            # The listening socket queues this request until its process has started.
            started = await browser.get(f"{urls[0]}/zaikio/sessions/new?origin=/page")
            await browser.get(f"{urls[1]}/")
            callback = f"/zaikio/sessions/approve?code=a&state={query_of(started.headers['location'])['state']}"
            cookies = {"Cookie": started.headers["set-cookie"].partition(";")[0]}
            answers = await asyncio.gather(*(browser.get(url + callback, headers=cookies) for url in urls * 2))
            written = [answer.headers.get_list("set-cookie") for answer in answers]
            (session,) = [cookie for cookies_set in written for cookie in cookies_set if cookie.startswith("session=")]
            me = await browser.get(f"{urls[1]}/me", headers={"Cookie": session.partition(";")[0]})

    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, "/page")] * 4
    assert sorted(len(cookies_set) for cookies_set in written) == [0, 0, 0, 2]
    assert (me.status_code, me.json()["person"]) == (200, "29b2")
    assert hub.count(grant_type="authorization_code") == 1


@pytest.fixture
async def failures(make_settings: Callable[..., Settings]) -> AsyncIterator[tuple[Visitor, list[LoginError]]]:
    """Yield a visitor of an app, and the errors of which its hook ``on_error`` hears."""
    errors: list[LoginError] = []
    async with ZaikioOAuth(make_settings(), on_error=lambda request, error: errors.append(error)) as zaikio:
        visitor = Visitor(small_app(zaikio))
        yield visitor, errors
        await visitor.aclose()


Failures = tuple[Visitor, list[LoginError]]


@pytest.mark.parametrize("query", ["code=x", "error=server_error", "error=access_denied", "", "code=a&code=b"])
@pytest.mark.parametrize("state", ["&state=unknown", "&state=%C3%A4", "&state=a&state=b", ""])
async def test_an_unknown_state_changes_nothing_for_somebody_who_is_logged_in(
    failures: Failures, query: str, state: str
) -> None:
    """They are sent on without an error and without a cookie; the app hears of no error."""
    visitor, errors = failures
    await visitor.log_in()

    answer = await visitor.get(f"/zaikio/sessions/approve?{query}{state}")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers
    assert (await visitor.get("/")).json()["error"] is None
    assert (await visitor.get("/me")).status_code == 200
    assert errors == []


@pytest.mark.parametrize("query", ["code=x", "error=server_error"])
async def test_a_used_flow_leads_to_its_origin(failures: Failures, query: str) -> None:
    """A browser that has kept the cookie, such as another tab, arrives where the first one did."""
    visitor, errors = failures
    callback = await visitor.consent(await visitor.start(origin="/page"))
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.app.cookies.jar)
    await visitor.get(callback)
    session = visitor.app.cookies["session"]

    state = query_of(callback)["state"]
    for cookies in (f"{cookie}; session={session}", cookie):
        answer = await visitor.get(f"/zaikio/sessions/approve?state={state}&{query}", headers={"Cookie": cookies})
        assert (answer.status_code, answer.headers["location"]) == (303, "/page")
        assert "set-cookie" not in answer.headers
    assert errors == []


async def test_an_expired_flow_leads_to_its_origin_if_somebody_is_logged_in(
    failures: Failures, hub: LocalHub, ten_minutes_ago: Callable[[Visitor], None]
) -> None:
    """Whoever has logged in meanwhile goes on; whoever has not is told that it took too long."""
    visitor, errors = failures
    for logged_in in (True, False):
        await (visitor.log_in() if logged_in else visitor.app.delete("/zaikio/session"))
        callback = await visitor.consent(await visitor.start(origin="/page"))
        ten_minutes_ago(visitor)
        before = hub.count(grant_type="authorization_code")

        answer = await visitor.get(callback)

        assert (answer.status_code, answer.headers["location"]) == (303, "/page" if logged_in else "/")
        assert [error.code for error in errors] == ([] if logged_in else ["invalid_state"])
        assert hub.count(grant_type="authorization_code") == before


@pytest.fixture
def ten_minutes_ago() -> Callable[[Visitor], None]:
    """Return a function that makes a browser's flow cookies as old as a person who has left the Hub's page open."""
    fernet = flow_fernet([KEY])

    def age(visitor: Visitor) -> None:
        for cookie in visitor.app.cookies.jar:
            if cookie.name.startswith("zaikio_flow_") and cookie.value:
                *values, started_at = json.loads(fernet.decrypt(cookie.value + "=" * (-len(cookie.value) % 4)))
                aged = json.dumps([*values, int(started_at) - LIFETIME - 1], separators=(",", ":"))
                cookie.value = fernet.encrypt_at_time(aged.encode(), int(time.time())).decode().rstrip("=")

    return age


async def test_a_connection_that_has_expired_says_so(failures: Failures) -> None:
    """Being logged in does not mean that the organization is connected."""
    visitor, errors = failures
    await visitor.log_in()

    await visitor.get("/zaikio/connections/approve?code=x&state=unknown")

    assert [error.code for error in errors] == ["invalid_state"]
    assert (await visitor.get("/me")).status_code == 200


async def test_a_state_of_the_app_is_used_once_with_the_same_code(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A double click on the way back from a mailed link is no failed login either."""
    hub.fail("authorization_code", status=200, body=TOKEN_RESPONSE, latency=0.3, times=None)
    async with ZaikioOAuth(make_settings(), verify_state=lambda request, state: state == "mailed") as zaikio:
        visitor = Visitor(small_app(zaikio))
        callback = "/zaikio/sessions/approve?state=mailed&code=x"
        answers = await asyncio.gather(*(visitor.get(callback) for _ in range(3)))
        assert (await visitor.get("/me")).status_code == 200
        await visitor.aclose()

    assert [(answer.status_code, answer.headers["location"]) for answer in answers] == [(303, "/")] * 3
    assert sum("set-cookie" in answer.headers for answer in answers) == 1
    assert hub.count(grant_type="authorization_code") == 1
