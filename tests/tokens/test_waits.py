"""How long callers wait while the Hub does not answer as it should (the waits of the contract)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.apps import small_app
from tests.data import PERSON_ID, some_access_token
from tests.inside import parts_of
from tests.tokens.due_tokens import two_processes
from tests.visitor import Visitor
from zaikio_oauth import AccessToken, HubUnavailableError, Settings, ZaikioOAuth

SLACK = 3.0
"""Seconds that a loaded machine may take for what needs a moment."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


async def trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.2)


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def slow_down(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def slow_503(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(4)
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


Fault = Callable[[asyncio.StreamWriter], Awaitable[None]]
FAULTS: list[Fault] = [trickle, silence, slow_down, slow_503]


async def refuse(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 26\r\n\r\n" + b'{"error":"invalid_client"}')
    await writer.drain()


@asynccontextmanager
async def unkind_hub(fault: Fault, closing: AsyncExitStack) -> AsyncIterator[str]:
    """Yield the URL of a server that answers every request with this fault, and until ``closing`` with a refusal."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await now(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            connections.discard(task)
            writer.close()

    now = fault
    server = await closing.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    now = refuse
    for task in connections:
        task.cancel()


async def seconds_of(call: Awaitable[Any]) -> tuple[Any, float]:
    """Return the outcome of a call, which may be its exception, and how long it took."""
    started = time.monotonic()
    try:
        outcome = await call
    except Exception as error:
        outcome = error
    return outcome, time.monotonic() - started


async def with_auth(zaikio: ZaikioOAuth) -> AccessToken:
    async with zaikio.with_auth(bearer_id=PERSON_ID, scopes=["zaikio.person.r"]) as token:
        return token


async def visitor_of(zaikio: ZaikioOAuth, token_id: str) -> Visitor:
    """Return a visitor who is logged in with this token."""
    visitor = Visitor(small_app(zaikio))
    await visitor.app.post("/remember", json={"zaikio_access_token_id": token_id})
    return visitor


async def waits(processes: list[ZaikioOAuth], token_id: str) -> dict[str, Any]:
    """Return outcome and duration of each caller, in the process that asks the Hub and in another one."""
    calls: dict[str, Awaitable[tuple[Any, float]]] = {}
    async with AsyncExitStack() as stack:
        for name, zaikio in zip(["holder", "other"], processes, strict=True):
            visitor = await visitor_of(zaikio, token_id)
            stack.push_async_callback(visitor.aclose)
            calls[f"{name} with_auth"] = seconds_of(with_auth(zaikio))
            calls[f"{name} /me"] = seconds_of(visitor.get("/me"))
            calls[f"{name} /maybe"] = seconds_of(visitor.get("/maybe"))
        outcomes = await asyncio.gather(*calls.values())
    return dict(zip(calls, outcomes, strict=True))


@pytest.mark.timeout(120)
async def test_no_caller_waits_longer_than_the_contract_says(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """This holds for every way of not answering, in the process that asks the Hub and in those that wait for it."""
    expired = some_access_token(expires_at=datetime.now(UTC) - timedelta(minutes=1))
    async with AsyncExitStack() as closing:
        async with AsyncExitStack() as hubs:
            calls = []
            for fault in FAULTS:
                host = await hubs.enter_async_context(unkind_hub(fault, closing))
                settings = make_settings(host=host, database_url=f"sqlite:///{tmp_path}/{fault.__name__}.db")
                processes = await closing.enter_async_context(two_processes(settings))
                token = await (await parts_of(processes[0])).access_tokens.add(expired)
                calls.append(waits(processes, token.id))
            everything = await asyncio.gather(*calls)
        # The Hub refuses at once, so what is still under way ends.

    for fault, outcomes in zip(FAULTS, everything, strict=True):
        for process in ["holder", "other"]:
            named = f"{fault.__name__}, {process}"
            me, seconds = outcomes[f"{process} /me"]
            assert (me.status_code, me.headers["retry-after"]) == (503, "10"), named
            assert seconds < 5 + SLACK, named
            maybe, seconds = outcomes[f"{process} /maybe"]
            assert maybe.json() == "nobody", named
            assert seconds < 2 + SLACK, named
            error, seconds = outcomes[f"{process} with_auth"]
            assert isinstance(error, HubUnavailableError), (named, error)
            assert seconds < 30 + SLACK, named
            assert 0 < error.elapsed <= seconds + 0.1, (named, error)


async def test_a_page_gets_a_living_token_at_once(make_settings: Callable[..., Settings]) -> None:
    """Also if it has 20 seconds of an hour to live and the Hub does not answer. A later page gets it, too."""
    async with AsyncExitStack() as closing, unkind_hub(silence, closing) as host:
        zaikio = await closing.enter_async_context(ZaikioOAuth(make_settings(host=host, cache_ttl=0)))
        now = datetime.now(UTC)
        soon = some_access_token(expires_at=now + timedelta(seconds=20), created_at=now - timedelta(hours=1))
        token = await (await parts_of(zaikio)).access_tokens.add(soon)
        visitor = await visitor_of(zaikio, token.id)
        for path, answer in [("/me", token.id), ("/maybe", token.bearer_id), ("/me", token.id)]:
            outcome, seconds = await seconds_of(visitor.get(path))
            assert answer in outcome.text
            assert seconds < 1
        await visitor.aclose()
