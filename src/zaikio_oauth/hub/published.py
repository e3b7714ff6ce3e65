"""Something that the Hub publishes for everybody and changes now and then: fetched once, kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_response import refusal

__all__ = ["Published"]

T = TypeVar("T")

FRESH = 3600.0
"""Seconds after which it is fetched anew, while those who ask still get what is kept."""

USABLE = 23 * 3600.0
"""Seconds after which nobody gets it any more: "do not cache longer than a day" (Hub documentation, JWT)."""

BURST, REFILL = 10.0, 6.0
"""So many requests at once, and one more every so many seconds: strangers decide how often an unknown key is named."""

log = logging.getLogger("zaikio_oauth")


class Published(Generic[T]):
    """The value at one public address of the Hub, for one event loop. However many ask, one request is made."""

    def __init__(
        self,
        http: HubHttp,
        path: str,
        read: Callable[[Any], T],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        deadline: float = 5.0,
    ) -> None:
        """``read`` makes the value of the answer's JSON; raises InvalidResponseError."""
        self._http = http
        self._path = path
        self._read = read
        self._monotonic = monotonic
        self._deadline = deadline
        self._kept: tuple[float, T] | None = None
        self._allowance, self._refilled_at = BURST, monotonic()
        self._failure = ""
        self._fetching: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """The value; raises HubUnavailableError when there is none that may be used and it cannot be fetched."""
        age = self._age()
        if self._kept is None or age >= USABLE:
            return await self._fetched()
        if age >= FRESH:
            self._fetch()
        return self._kept[1]

    async def get_newer(self, than: T) -> T:
        """The value as it is now, because this one lacks something; the kept one when the Hub was asked too often.

        Raises HubUnavailableError when the Hub cannot be asked.
        """
        if self._kept is not None and self._kept[1] is not than:
            return self._kept[1]
        return await self._fetched()

    async def aclose(self) -> None:
        """Give up a request under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age(self) -> float:
        return self._monotonic() - self._kept[0] if self._kept else 0.0

    async def _fetched(self) -> T:
        asked = self._fetch()
        if asked is not None:
            # Shared by all who wait for it, so one who goes away must not end it.
            await asyncio.shield(asked)
        if self._failure or self._kept is None:
            raise HubUnavailableError(self._failure)
        return self._kept[1]

    def _fetch(self) -> asyncio.Task[None] | None:
        """The request under way, or a new one; None when there were too many."""
        if self._fetching is None or self._fetching.done():
            now = self._monotonic()
            self._allowance = min(BURST, self._allowance + (now - self._refilled_at) / REFILL)
            self._refilled_at = now
            if self._allowance < 1:
                return None
            self._allowance -= 1
            self._fetching = asyncio.create_task(self._request())
        return self._fetching

    async def _request(self) -> None:
        try:
            answer = await self._http.request("GET", self._path, deadline=self._deadline, repeatable=True)
            if answer.status_code >= 300:
                raise refusal(answer)
            self._kept = (self._monotonic(), self._read(answer.body))
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            self._failure = f"{self._path} cannot be read: {error}"
            log.warning("%s", self._failure)
        else:
            self._failure = ""
