"""A proxy in front of a local Hub, which plays one fault for one path and passes everything else through."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

__all__ = ["FaultyHub", "Play", "Request"]


class Request:
    """One request, while a fault plays with it."""

    def __init__(self, hub: FaultyHub, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hub = hub
        self._reader = reader
        self._writer = writer
        self.received = b""

    async def read(self) -> str:
        """Read the request and return its path."""
        if not self.received:
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            self.received = head + await self._reader.readexactly(int(length[1]) if length else 0)
        return self.received.split(b" ")[1].decode()

    async def perform(self) -> bytes:
        """Let the Hub perform the request, and return its response."""
        head, _, body = self.received.partition(b"\r\n\r\n")
        head = re.sub(rb"(?im)^connection:.*\r\n", b"", head + b"\r\n") + b"Connection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection(*self._hub.behind)
        try:
            writer.write(head + body)
            return await reader.read()
        finally:
            writer.close()

    async def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Lose the connection without another byte."""
        self._writer.transport.abort()


Play = Callable[[Request], Awaitable[None]]
"""A fault: what becomes of a request."""


class FaultyHub:
    """Listens at ``url``. Between ``begin`` and ``end`` each request for the path is played with; others pass through.

    ``requests`` are the paths of the requests during the fault, ``accepted`` counts all connections.
    """

    def __init__(self, behind: str) -> None:
        parts = urlsplit(behind)
        self.behind = (parts.hostname, parts.port)
        self.requests: list[str] = []
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._port = 0
        self._path = ""
        self._play: Play | None = None
        self._faulty = self._unread = False
        self._playing: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        return len(self._connections)

    async def listen(self) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, backlog=50)
        self._port = self._server.sockets[0].getsockname()[1]

    async def begin(self, path: str, play: Play | None, *, unread: bool = False) -> None:
        """Begin a fault for the path and those below it; without ``play`` nothing listens any more.

        ``unread``: the fault begins before the request is read, so it hits every path.
        """
        self._path, self._play, self._unread, self._faulty = path, play, unread, True
        if play is None:
            await self._stop()

    async def end(self) -> None:
        """End the fault, and lose the connections with which it still plays."""
        self._faulty = False
        if self._play is None:
            await self.listen()
        await _cancelled(self._playing)

    async def close(self) -> None:
        """Stop listening and lose all connections."""
        await self._stop()
        await _cancelled(self._connections)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = asyncio.create_task(self._serve(Request(self, reader, writer), writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, request: Request, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                path = "" if self._faulty and self._unread else await request.read()
                if self._faulty:
                    self.requests.append(path)
                if self._faulty and self._play and (self._unread or path.startswith(self._path)):
                    await self._play_with(request, self._play)
                else:
                    # One request for each connection: one that is kept would survive a server that is gone.
                    await request.send(await request.perform())
        finally:
            writer.close()

    async def _play_with(self, request: Request, play: Play) -> None:
        playing = asyncio.create_task(_playing(play, request))
        self._playing.add(playing)
        playing.add_done_callback(self._playing.discard)
        await asyncio.wait([playing])
        if not playing.cancelled():
            playing.result()


async def _playing(play: Play, request: Request) -> None:
    await play(request)


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
