"""ClientPool: several HTTP clients with a few connections each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx

__all__ = ["CONNECTIONS", "ClientPool"]

CONNECTIONS: Final = 4
"""How many connections a client has. For each request it compares each of them with all others, which with 16 of them
takes half of the request's processor time."""

MOST_CLIENTS: Final = 25

IDLE_CLIENT: Final = 5.0
"""After how many seconds without a request a client is closed: after as long as httpx keeps a connection."""


@dataclass(slots=True, eq=False)
class _Client:
    http: httpx.AsyncClient
    requests: int = 0
    used_at: float = 0.0


class ClientPool:
    """Gives each request a client that has a connection for it. There are as many as are needed at once, at least one.

    If all have too many requests, those with the fewest get more, which then wait in them.
    """

    def __init__(
        self, new: Callable[[], httpx.AsyncClient], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._new = new
        self._monotonic = monotonic
        self._clients = [_Client(new())]
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def first(self) -> httpx.AsyncClient:
        """The client that is always there."""
        return self._clients[0].http

    @contextmanager
    def client(self) -> Iterator[httpx.AsyncClient]:
        """Yield the client for one request."""
        self._close_idle()
        chosen = self._chosen()
        chosen.requests += 1
        try:
            yield chosen.http
        finally:
            chosen.requests -= 1
            chosen.used_at = self._monotonic()

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.http.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _chosen(self) -> _Client:
        # The first one, so that those that fewer requests do not need become idle.
        for client in self._clients:
            if client.requests < CONNECTIONS:
                return client
        if len(self._clients) >= MOST_CLIENTS:
            return min(self._clients, key=lambda client: client.requests)
        self._clients.append(_Client(self._new()))
        return self._clients[-1]

    def _close_idle(self) -> None:
        now = self._monotonic()
        for client in self._clients[1:]:
            if not client.requests and now - client.used_at >= IDLE_CLIENT:
                self._clients.remove(client)
                closing = asyncio.create_task(client.http.aclose())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
