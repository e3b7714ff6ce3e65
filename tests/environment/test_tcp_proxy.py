"""The TCP proxy does to connections what a bad network does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.environment.tcp_proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """Yield a proxy to a server that repeats what it hears."""
    repeating: set[asyncio.Task[Any] | None] = set()

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        repeating.add(asyncio.current_task())
        with suppress(OSError):
            while heard := await reader.readline():
                writer.write(heard)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with TcpProxy.to(f"http://{host}:{port}") as opened:
        yield opened
    server.close()
    await asyncio.gather(*filter(None, repeating))


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self) -> bytes:
        """Return the server's answer to one line."""
        self.writer.write(b"hello\n")
        return await self.reader.readline()


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Client]:
    """Connect to the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_it_forwards(proxy: TcpProxy) -> None:
    """What is sent arrives, and the URL has the proxy's port."""
    async with connected(proxy) as client:
        assert await client.say() == b"hello\n"
        assert proxy.connections == 1
    assert proxy.url("postgresql://me@db:5432/x?y=z") == f"postgresql://me@127.0.0.1:{proxy.port}/x?y=z"


async def test_it_refuses_and_listens_again(proxy: TcpProxy) -> None:
    """Open connections are reset, new ones are refused, and restored ones work."""
    async with connected(proxy) as client:
        assert await client.say()
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.reader.readline()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.restore()
    async with connected(proxy) as client:
        assert await client.say() == b"hello\n"


async def test_it_stalls_and_delivers_late(proxy: TcpProxy) -> None:
    """Nothing passes on open and on new connections, until it does."""
    async with connected(proxy) as client:
        assert await client.say()
        proxy.stall()
        async with connected(proxy) as late:
            answers = [asyncio.create_task(client.say()), asyncio.create_task(late.say())]
            await asyncio.wait(answers, timeout=0.3)
            assert not any(answer.done() for answer in answers)
            proxy.restore()
            assert await asyncio.gather(*answers) == [b"hello\n", b"hello\n"]


async def test_it_cuts_what_is_open(proxy: TcpProxy) -> None:
    """Open connections are reset, and new ones are forwarded at once."""
    async with connected(proxy) as client:
        assert await client.say()
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await client.reader.readline()
    async with connected(proxy) as client:
        assert await client.say() == b"hello\n"
