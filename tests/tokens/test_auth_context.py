"""``with with_auth(…)`` in sync code: threads, hooks, errors, interruptions."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI

from tests.app_server import AppServer
from tests.data import some_access_token
from tests.inside import open_for_sync_code, parts_of
from zaikio_oauth import AccessToken, BearerDoesNotExistError, Settings, ZaikioOAuth
from zaikio_oauth.testing import LocalHub
from zaikio_oauth.tokens.blocking_portal import portal

CURRENT: ContextVar[str] = ContextVar("current", default="nobody")


@pytest.fixture
def organization(hub: LocalHub) -> dict[str, Any]:
    """Return the arguments for an organization that has granted access to the app."""
    hub.grant("warehouse-id", "Organization", hub.organizations[0].id, ["zaikio.organization.r"])
    return {"bearer_type": "Organization", "bearer_id": hub.organizations[0].id}


@pytest.fixture
def sync_zaikio(make_settings: Callable[..., Settings], database_url: str) -> Iterator[ZaikioOAuth]:
    """Yield a ZaikioOAuth for sync code, on either database."""
    with open_for_sync_code(ZaikioOAuth(make_settings(database_url=database_url, auto_migrate=True))) as zaikio:
        yield zaikio


def around(make_settings: Callable[..., Settings], hook: Any) -> ZaikioOAuth:
    return ZaikioOAuth(make_settings(), around_auth=hook)


def test_a_plain_with_gives_a_token(sync_zaikio: ZaikioOAuth, hub: LocalHub, organization: dict[str, Any]) -> None:
    """It is the same one each time, and the same object may be entered again after it was left."""
    authorized = sync_zaikio.with_auth(**organization)
    with authorized as first:
        assert first.bearer_id == organization["bearer_id"]
    with authorized as again, sync_zaikio.with_auth(**organization) as second, sync_zaikio.with_auth(first) as given:
        assert again == second == given == first
    assert hub.count(grant_type="client_credentials") == 1


def test_the_loop_stays_open_between_calls(sync_zaikio: ZaikioOAuth, organization: dict[str, Any]) -> None:
    """And so do the connections of all threads."""

    async def loop_and_parts() -> tuple[object, object]:
        return asyncio.get_running_loop(), await parts_of(sync_zaikio)

    def job(_number: int) -> tuple[object, object]:
        with sync_zaikio.with_auth(**organization):
            return portal.call(loop_and_parts)

    with ThreadPoolExecutor(4) as threads:
        assert len({job(0), *threads.map(job, range(8)), job(0)}) == 1


async def test_with_in_a_running_event_loop_says_what_to_write(
    zaikio: ZaikioOAuth, organization: dict[str, Any]
) -> None:
    """It would block the loop. In a thread without one it works, and so does async with."""
    authorized = zaikio.with_auth(**organization)
    with pytest.raises(RuntimeError, match="write async with"):
        with authorized:
            pass

    def in_a_thread() -> str:
        with open_for_sync_code(zaikio), authorized as token:
            return token.token

    async with zaikio.with_auth(**organization) as token:
        assert await asyncio.to_thread(in_a_thread) == token.token


def test_one_object_is_entered_once_at_a_time(sync_zaikio: ZaikioOAuth) -> None:
    """Otherwise the hooks of one body would be left with the other."""
    authorized = sync_zaikio.with_auth(some_access_token())
    with authorized:
        with pytest.raises(RuntimeError, match="anew"):
            with authorized:
                pass
    with pytest.raises(TypeError, match="bearer_id"):
        sync_zaikio.with_auth()


def test_many_threads_make_one_request(sync_zaikio: ZaikioOAuth, hub: LocalHub, organization: dict[str, Any]) -> None:
    """A ``def`` endpoint runs in up to 40 threads."""
    hub.fail("client_credentials", latency=0.3)
    together = threading.Barrier(40)

    def job(_number: int) -> str:
        together.wait()
        with sync_zaikio.with_auth(**organization) as token:
            return token.token

    with ThreadPoolExecutor(40) as threads:
        tokens = set(threads.map(job, range(40)))
    assert len(tokens) == 1
    assert hub.count(grant_type="client_credentials") == 1


def test_a_def_endpoint_under_load_makes_one_request(
    sync_zaikio: ZaikioOAuth, hub: LocalHub, organization: dict[str, Any]
) -> None:
    """On real sockets, as the body of the endpoint and as a dependency with ``yield``, beside an ``async`` one."""
    hub.fail("client_credentials", latency=0.3)
    app = FastAPI()
    app.include_router(sync_zaikio.router, prefix="/zaikio")

    def authorized() -> Iterator[AccessToken]:
        with sync_zaikio.with_auth(**organization) as token:
            yield token

    @app.get("/body")
    def body() -> str:
        with sync_zaikio.with_auth(**organization) as token:
            time.sleep(0.01)
            return token.token

    @app.get("/dependency")
    def dependency(token: AccessToken = Depends(authorized)) -> str:  # noqa: FAST002 (a local function)
        return token.token

    @app.get("/async")
    async def asynchronous() -> str:
        async with sync_zaikio.with_auth(**organization) as token:
            return token.token

    async def visit(url: str) -> set[tuple[int, str]]:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            paths = ["/body", "/dependency", "/async"] * 60
            return {(answer.status_code, answer.text) for answer in await asyncio.gather(*map(client.get, paths))}

    with AppServer(app) as server:
        answers = asyncio.run(visit(server.url))
    assert [status for status, _ in answers] == [200]
    assert hub.count(grant_type="client_credentials") == 1


def test_the_client_of_the_calling_thread_counts(sync_zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """``with_client`` works by a context variable, which the background loop has to know."""
    hub.grant("kiosk-id", "Person", hub.people[0].id, ["zaikio.person.r"])
    with sync_zaikio.with_client("kiosk"), pytest.raises(Exception, match="'kiosk' has no secret"):
        with sync_zaikio.with_auth(bearer_id=hub.people[0].id):
            pass


def test_a_sync_hook_is_entered_in_the_calling_thread(make_settings: Callable[..., Settings]) -> None:
    """What it keeps per thread or in context variables is there in the body, and it sees the body's error."""
    seen: list[object] = []

    @contextmanager
    def hook(access_token: AccessToken) -> Iterator[None]:
        token = CURRENT.set(access_token.id)
        try:
            yield
        except ValueError as error:
            seen.append(error)
        finally:
            seen.append(threading.current_thread())
            CURRENT.reset(token)

    with around(make_settings, hook).with_auth(some_access_token(id="7")):
        assert CURRENT.get() == "7"
        raise (error := ValueError("from the body"))
    assert CURRENT.get() == "nobody"
    assert seen == [error, threading.current_thread()]


def test_an_async_hook_is_entered_on_the_background_loop(make_settings: Callable[..., Settings]) -> None:
    """Its context variables are set in the body; it sees the body's error and may take it; both in one task."""
    seen: list[object] = []

    @asynccontextmanager
    async def hook(access_token: AccessToken) -> AsyncIterator[None]:
        token, task = CURRENT.set(access_token.id), asyncio.current_task()
        try:
            await asyncio.sleep(0)
            yield
        except ValueError as error:
            seen.append(error)
        finally:
            await asyncio.sleep(0)
            CURRENT.reset(token)
            seen.append(asyncio.current_task() is task)

    zaikio = around(make_settings, hook)
    with zaikio.with_auth(some_access_token(id="7")):
        assert CURRENT.get() == "7"
        raise (error := ValueError("from the body"))
    assert CURRENT.get() == "nobody"
    with pytest.raises(SystemExit), zaikio.with_auth(some_access_token(id="7")):
        raise SystemExit(3)
    with pytest.raises(KeyError) as raised, zaikio.with_auth(some_access_token(id="7")):
        raise KeyError("from the body")
    assert seen == [error, True, True, True]
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)] == [
        "test_an_async_hook_is_entered_on_the_background_loop"
    ]


@pytest.mark.parametrize("moment", ["entering", "leaving"])
def test_the_error_of_an_async_hook_is_raised(make_settings: Callable[..., Settings], moment: str) -> None:
    """As it is, when it is entered and when it is left, and the next body is not affected."""

    @asynccontextmanager
    async def hook(access_token: AccessToken) -> AsyncIterator[None]:
        if moment == "entering":
            raise LookupError(moment)
        yield
        raise LookupError(moment)

    zaikio = around(make_settings, hook)
    bodies = 0
    for _ in range(2):
        with pytest.raises(LookupError, match=moment):
            with zaikio.with_auth(some_access_token()):
                bodies += 1
    assert bodies == (0 if moment == "entering" else 2)


def test_each_thread_gets_an_error_of_its_own(sync_zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """One refusal for all of them; each traceback begins with the caller's line and has nothing of another one."""
    hub.fail("client_credentials", latency=0.3)
    together = threading.Barrier(8)

    def job(_number: int) -> BaseException:
        together.wait()
        try:
            with sync_zaikio.with_auth(bearer_type="Organization", bearer_id="nobody"):
                raise AssertionError
        except BearerDoesNotExistError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        errors = list(threads.map(job, range(8)))

    assert len({id(error) for error in errors}) == 8
    assert {error.code for error in errors} == {"bearer_does_not_exist"}
    for error in errors:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert (names[0], names.count("job"), names.count("find")) == ("job", 1, 1)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
    assert hub.count(grant_type="client_credentials") == 1


def test_who_is_interrupted_loses_nothing(
    sync_zaikio: ZaikioOAuth, hub: LocalHub, organization: dict[str, Any]
) -> None:
    """Ctrl-C, or the time limit of a job queue, is raised at once; what the Hub is issuing is stored and used next."""
    hub.fail("client_credentials", latency=1.5)

    def over(_number: int, _frame: Any) -> None:
        raise TimeoutError("the job's time is over")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    started = time.monotonic()
    try:
        with pytest.raises(TimeoutError, match="the job's"), sync_zaikio.with_auth(**organization):
            raise AssertionError
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 1.4

    with sync_zaikio.with_auth(**organization) as token:
        assert token.bearer_id == organization["bearer_id"]
    assert hub.count(grant_type="client_credentials") == 1
