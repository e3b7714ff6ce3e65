"""HTTP clients with a few connections each, over real sockets: as many as are needed, and no more for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from zaikio_oauth.hub.client_pool import CONNECTIONS, IDLE_CLIENT, MOST_CLIENTS, ClientPool
from zaikio_oauth.hub.http import HubHttp, RequestKind

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class SlowHub:
    """Answers each request after it was told to, and knows its connections."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.connections = self.most = self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer all requests of one connection."""
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self.answering.wait()
                writer.write(ANSWER)
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def has(self, *, requests: int) -> None:
        """Wait until there are so many."""
        async with asyncio.timeout(10):
            while self.requests < requests:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def slow_hub() -> AsyncIterator[tuple[SlowHub, HubHttp]]:
    """Yield a Hub and what sends requests to it."""
    hub = SlowHub()
    server = await asyncio.start_server(hub.serve, "127.0.0.1")
    http = HubHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield hub, http
    finally:
        await http.aclose()
        server.close()


async def ask(http: HubHttp) -> int:
    """Return the status of one answer."""
    return (await http.request("GET", "/", kind=RequestKind.IDEMPOTENT)).status_code


async def test_requests_one_after_the_other_use_one_connection() -> None:
    """A new one costs a TLS handshake."""
    async with slow_hub() as (hub, http):
        hub.answering.set()
        assert [await ask(http) for _ in range(20)] == [200] * 20
        assert hub.most == 1


async def test_requests_at_once_have_a_connection_each() -> None:
    """None waits for another one, and the same connections are used again."""
    async with slow_hub() as (hub, http):
        for round_ in (1, 2, 3):
            hub.answering.clear()
            asking = [asyncio.create_task(ask(http)) for _ in range(30)]
            await hub.has(requests=30 * round_)
            hub.answering.set()
            assert await asyncio.gather(*asking) == [200] * 30
        assert (hub.connections, hub.most) == (30, 30)
    async with asyncio.timeout(5):
        while hub.connections:
            await asyncio.sleep(0.01)


async def test_the_number_of_connections_is_limited() -> None:
    """What is too much waits until a connection is free."""
    most = MOST_CLIENTS * CONNECTIONS
    async with slow_hub() as (hub, http):
        asking = [asyncio.create_task(ask(http)) for _ in range(most + 50)]
        await hub.has(requests=most)
        await asyncio.sleep(0.2)
        assert (hub.requests, hub.connections) == (most, most)
        hub.answering.set()
        assert await asyncio.gather(*asking) == [200] * (most + 50)
        assert hub.most == most


async def test_a_client_that_is_not_needed_any_more_is_closed() -> None:
    """Else the connections of a busy moment stay half open for as long as the process lives, once the Hub has closed
    its end of them."""
    now = 100.0
    made: list[httpx.AsyncClient] = []

    def new() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))))
        return made[-1]

    pool = ClientPool(new, monotonic=lambda: now)

    async def at_once(number: int) -> None:
        if number:
            with pool.client() as client:
                await client.get("http://hub.example")
                await at_once(number - 1)

    await at_once(3 * CONNECTIONS)
    for passed, closed in ((IDLE_CLIENT - 1, [False] * 3), (1, [False, True, True]), (60, [False, True, True])):
        now += passed
        await at_once(1)
        await asyncio.sleep(0)
        assert [client.is_closed for client in made] == closed
    await at_once(CONNECTIONS + 1)
    assert len(made) == 4
    await pool.aclose()
    assert all(client.is_closed for client in made)


async def test_a_client_in_use_is_not_closed() -> None:
    """However long its request takes."""
    now = 100.0
    pool = ClientPool(httpx.AsyncClient, monotonic=lambda: now)
    first = [pool.client() for _ in range(CONNECTIONS)]
    for each in first:
        each.__enter__()
    with pool.client() as slow:
        now += 10 * IDLE_CLIENT
        for each in first:
            each.__exit__(None, None, None)
        with pool.client() as other:
            await asyncio.sleep(0)
            assert other is pool.first
            assert not slow.is_closed
    await pool.aclose()


async def test_a_few_requests_at_once_share_a_client() -> None:
    """Each client more takes memory, and its connections are its own."""
    pool = ClientPool(httpx.AsyncClient)
    with pool.client() as first, pool.client() as second:
        assert first is second is pool.first
    await pool.aclose()
