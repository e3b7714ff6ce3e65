"""A TCP proxy on this machine that can refuse, stall and cut connections, for a database or a Hub behind a bad network."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

__all__ = ["TcpProxy"]

T = TypeVar("T")

HOST = "127.0.0.1"
LARGEST_PIECE = 65536


class TcpProxy:
    """Forwards a free port of this machine to ``host:port``, in a thread and an event loop of its own.

    with TcpProxy.to(postgresql_url) as proxy:
        settings = make_settings(database_url=proxy.url(postgresql_url))
        proxy.refuse()   # nobody listens any more, and every connection is reset
        proxy.stall()    # connections are made and stay open, but nothing passes
        proxy.cut()      # every connection is reset; new ones are forwarded
        proxy.restore()  # everything passes again, also what was held back
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[Any]] = set()
        self._flowing = asyncio.Event()
        self.port = 0
        self.accepted = 0

    @classmethod
    def to(cls, url: str) -> TcpProxy:
        """Return a proxy to the host and port of this URL."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port)

    def url(self, url: str) -> str:
        """Return the URL with the host and port of the proxy."""
        parts = urlsplit(url)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{user}{HOST}:{self.port}"))

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many connections to the proxy are open."""
        return len(self._serving)

    def refuse(self) -> None:
        """Listen no more and reset every connection, as if the server had crashed."""
        self._do(self._refuse)

    def stall(self) -> None:
        """Let nothing pass, in either direction, as if the network swallowed every packet."""
        self._do(self._stall)

    def cut(self) -> None:
        """Reset every connection, as a firewall or a load balancer does; new ones are forwarded."""
        self._do(self._cut)

    def restore(self) -> None:
        """Listen and forward everything again, what was held back first."""
        self._do(self._restore)

    def _do(self, what: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _stall(self) -> None:
        self._flowing.clear()

    async def _cut(self) -> None:
        for writer in self._writers:
            _reset(writer)

    async def _restore(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        await self._refuse()
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self.accepted += 1
        self._serving.add(serving)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._serving.discard(serving)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            from_there, there = await asyncio.open_connection(*self._target)
            self._writers.add(there)
            pumps = [
                asyncio.create_task(self._pump(reader, there)),
                asyncio.create_task(self._pump(from_there, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
        finally:
            for each in filter(None, (writer, there)):
                self._writers.discard(each)
                each.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(LARGEST_PIECE):
                await self._flowing.wait()
                target.write(piece)
                await target.drain()
        except OSError:
            _reset(target)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of the orderly end that ``abort`` alone would send."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
