"""A Hub on a real socket that answers each request with the bytes that a test writes, at the speed that it likes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Answer", "RawHub", "drips", "says", "with_body"]

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def with_body(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return the bytes of a whole response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode("latin-1") + body


def says(response: bytes, *, after: float = 0.0, close: bool = False) -> Answer:
    """Answer with these bytes, ``after`` so many seconds, and perhaps close the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after)
        writer.write(response)
        await writer.drain()
        if close:
            writer.close()

    return answer


def drips(response: bytes, *, every: float = 0.05) -> Answer:
    """Answer byte by byte, and go on for ever with spaces."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for byte in response:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(every)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(every)

    return answer


class RawHub:
    """What the Hub answers, by path; ``default`` elsewhere. ``requests`` has what it was asked, ``url`` its address."""

    def __init__(self, default: Answer | None = None) -> None:
        self.default = default or says(with_body(b"{}"))
        self.answers: dict[str, Answer] = {}
        self.requests: list[bytes] = []
        self.url = ""

    def paths(self) -> list[str]:
        """Return the paths of the requests, in order."""
        return [request.split(b" ")[1].decode() for request in self.requests]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RawHub]:
        """Serve while the body runs."""
        handlers: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            handlers.add(asyncio.create_task(self._handle(reader, writer)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for handler in handlers:
                handler.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = re.search(rb"(?i)content-length: *(\d+)", head)
                    self.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
                    await self.answers.get(self.paths()[-1], self.default)(writer)
        finally:
            writer.close()
