"""The faults of a Hub: what each of them does to a request, and what it leaves open to the library."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from dataclasses import dataclass
from email.utils import formatdate

from tests.faults.faulty_hub import Play, Request

__all__ = ["HubFault", "faults"]


@dataclass(frozen=True)
class HubFault:
    """A fault. ``play`` is None if nothing listens.

    ``used``: the Hub acts, but nobody hears of it. ``unread``: it begins before the request is read.
    """

    name: str
    play: Play | None
    used: bool = False
    unread: bool = False

    @property
    def total(self) -> bool:
        """True if it hits every path of the Hub."""
        return self.play is None or self.unread


def says(status: str, body: bytes = b"", *headers: str, after: float = 0.0) -> Play:
    """Answer with this response."""

    async def play(request: Request) -> None:
        await asyncio.sleep(after)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        await request.send("\r\n".join(lines).encode() + body)

    return play


def says_json(value: object, status: str = "200 OK") -> Play:
    """Answer with this JSON."""
    return says(status, json.dumps(value).encode(), "Content-Type: application/json")


def later(header: str, seconds: float) -> Play:
    """Answer with 429 and an instant so many seconds from the request."""

    async def play(request: Request) -> None:
        instant = time.time() + seconds
        value = str(int(instant)) if header == "RateLimit-Reset" else formatdate(instant, usegmt=True)
        await says("429 Too Many Requests", b"", f"{header}: {value}")(request)

    return play


async def hangs(request: Request) -> None:
    """Never answer."""
    await asyncio.sleep(600)


async def trickles(request: Request) -> None:
    """Answer byte by byte, without an end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in head:
        await request.send(bytes([byte]))
        await asyncio.sleep(0.005)
    while True:
        await request.send(b"1\r\n \r\n")
        await asyncio.sleep(0.2)


async def trickles_headers(request: Request) -> None:
    """Answer with headers, byte by byte, without an end."""
    await request.send(b"HTTP/1.1 200 OK\r\nX-Header: ")
    while True:
        await request.send(b"x")
        await asyncio.sleep(0.2)


async def cut(request: Request) -> None:
    """Answer with less than the length that was announced."""
    await request.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"access_t')


async def huge(request: Request) -> None:
    """Answer with more than anybody wants to keep."""
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{")
    for _ in range(400):
        await request.send(b'"x":' + b"[" * 50_000)


async def lost(request: Request) -> None:
    """Lose the connection after the request was read."""
    request.reset()


async def lost_after_it_was_performed(request: Request) -> None:
    """Let the Hub do what it was asked for, and lose the connection."""
    await request.perform()
    request.reset()


async def cut_after_it_was_performed(request: Request) -> None:
    """Let the Hub do what it was asked for, and answer with half of what it says."""
    response = await request.perform()
    await request.send(response[: -len(response) // 4])


_BOMB = gzip.compress(gzip.compress(b" " * 20_000_000))
_WRONG_TYPES = {
    "access_token": 7,
    "refresh_token": [],
    "expires_in": {},
    "scope": 1,
    "bearer": "me",
    "audiences": {"a": 1},
    "token_type": None,
    "device_code": [],
    "user_code": 1,
    "verification_uri": {},
    "keys": {"a": 1},
    "revoked_token_ids": 7,
}


def faults(elsewhere: str) -> list[HubFault]:
    """Return every fault; redirects lead to ``elsewhere``."""
    location = f"Location: {elsewhere}/oauth/access_token"
    html = b"<!doctype html><title>Maintenance</title><h1>Back soon</h1>"
    return [
        HubFault("refuses connections", None),
        HubFault("hangs", hangs),
        HubFault("trickles a body", trickles),
        HubFault("trickles headers", trickles_headers),
        HubFault("500", says("500 Internal Server Error", html, "Content-Type: text/html")),
        HubFault("502", says("502 Bad Gateway", html, "Content-Type: text/html")),
        HubFault("503", says("503 Service Unavailable")),
        HubFault("504", says("504 Gateway Timeout")),
        HubFault("slow 503", says("503 Service Unavailable", after=3.0)),
        HubFault("429 without a time", says("429 Too Many Requests")),
        HubFault("429, Retry-After: 0", says("429 Too Many Requests", b"", "Retry-After: 0")),
        HubFault("429, Retry-After: -5", says("429 Too Many Requests", b"", "Retry-After: -5")),
        HubFault("429, Retry-After: 3600", says("429 Too Many Requests", b"", "Retry-After: 3600")),
        HubFault("429, Retry-After: a date", later("Retry-After", 3.0)),
        HubFault("429, Retry-After: a past date", later("Retry-After", -3600.0)),
        HubFault("429, Retry-After: soon", says("429 Too Many Requests", b"", "Retry-After: soon")),
        HubFault("429, RateLimit-Reset in the past", later("RateLimit-Reset", -3600.0)),
        HubFault("429, RateLimit-Reset in the future", later("RateLimit-Reset", 3.0)),
        HubFault("429, RateLimit-Reset: nan", says("429 Too Many Requests", b"", "RateLimit-Reset: nan")),
        HubFault("an HTML page", says("200 OK", html, "Content-Type: text/html")),
        HubFault("an HTML page for 404", says("404 Not Found", html, "Content-Type: text/html")),
        HubFault("cut", cut),
        HubFault("huge", huge),
        HubFault("a gzip bomb", says("200 OK", _BOMB, "Content-Encoding: gzip, gzip")),
        HubFault("no gzip", says("200 OK", b"no gzip", "Content-Encoding: gzip")),
        HubFault("wrong types", says_json(_WRONG_TYPES)),
        HubFault("a list", says_json([1, None])),
        HubFault("deeply nested", says("200 OK", b"[" * 100_000)),
        HubFault("empty", says("200 OK")),
        HubFault("204", says("204 No Content")),
        HubFault("200 with an error", says_json({"error": "server_error", "error_description": "x\r\ny\x1b[31m"})),
        HubFault("301", says("301 Moved Permanently", b"", location)),
        HubFault("302", says("302 Found", b"", location)),
        HubFault("307", says("307 Temporary Redirect", b"", location)),
        HubFault("308", says("308 Permanent Redirect", b"", location)),
        HubFault("no HTTP", says("junk\r\n\r\n")),
        HubFault("connection lost before the request", lost, unread=True),
        HubFault("connection lost after the request", lost),
        HubFault("connection lost after it was performed", lost_after_it_was_performed, used=True),
        HubFault("cut after it was performed", cut_after_it_was_performed, used=True),
    ]
