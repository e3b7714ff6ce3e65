"""A resource that the Hub publishes for everybody and rarely changes: fetched once and kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.hub.error_response import oauth_error
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.settings.retries_and_waits import (
    PUBLISHED_BURST,
    PUBLISHED_DEADLINE,
    PUBLISHED_FRESH,
    PUBLISHED_REFILL,
    PUBLISHED_USABLE,
)

__all__ = ["PublishedResource"]

T = TypeVar("T")

log = logging.getLogger("zaikio_oauth")


class _Failed(NamedTuple):
    """Why the last request failed, and what it took."""

    reason: str
    elapsed: float
    retry_after: float | None


class PublishedResource(Generic[T]):
    """The value at one public address of the Hub, for one event loop. Concurrent callers share one request."""

    def __init__(
        self,
        http: HubHttp,
        path: str,
        read: Callable[[Any], T],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        deadline: float = PUBLISHED_DEADLINE,
    ) -> None:
        """``read`` turns the response's JSON into the value; it raises InvalidResponseError."""
        self._http = http
        self._path = path
        self._read = read
        self._monotonic = monotonic
        self._deadline = deadline
        self._kept: tuple[float, T] | None = None
        self._allowance, self._refilled_at = PUBLISHED_BURST, monotonic()
        self._failed: _Failed | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def fresh(self) -> T | None:
        """The value, if it is known and need not be fetched again yet."""
        return self._kept[1] if self._kept is not None and self._age() < PUBLISHED_FRESH else None

    async def get(self) -> T:
        """Return the value; raises HubUnavailableError if none may be used and it cannot be fetched."""
        age = self._age()
        if self._kept is None or age >= PUBLISHED_USABLE:
            return await self._fetched()
        if age >= PUBLISHED_FRESH:
            self._fetch()
        return self._kept[1]

    async def get_newer(self, than: T) -> T:
        """Return a newer value, because this one lacks something, or the same if too many requests have been made.

        Raises HubUnavailableError if the Hub cannot be asked.
        """
        if self._kept is not None and self._kept[1] is not than:
            return self._kept[1]
        return await self._fetched()

    async def aclose(self) -> None:
        """Cancel a request under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _age(self) -> float:
        return self._monotonic() - self._kept[0] if self._kept else 0.0

    async def _fetched(self) -> T:
        asked = self._fetch()
        if asked is not None:
            # Shared by all who wait for it, so a caller that is cancelled must not end it. Nor does it end its callers:
            # the end of the event loop cancels it, but not a refresh that waits for it and has a token to store.
            await asyncio.wait([asked])
            if not asked.cancelled():
                asked.result()
        if self._kept is not None and self._failed is None:
            return self._kept[1]
        failed = self._failed or _Failed("it was not fetched", 0.0, None)
        raise HubUnavailableError(failed.reason, elapsed=failed.elapsed, retry_after=failed.retry_after)

    def _fetch(self) -> asyncio.Task[None] | None:
        """Return the request under way or a new one, or None if too many have been made."""
        if self._fetching is None or self._fetching.done():
            now = self._monotonic()
            self._allowance = min(PUBLISHED_BURST, self._allowance + (now - self._refilled_at) / PUBLISHED_REFILL)
            self._refilled_at = now
            if self._allowance < 1:
                return None
            self._allowance -= 1
            self._fetching = asyncio.create_task(self._request())
        return self._fetching

    async def _request(self) -> None:
        started = time.monotonic()
        try:
            response = await self._http.request("GET", self._path, kind=RequestKind.IDEMPOTENT, within=self._deadline)
            if response.status_code >= 300:
                raise oauth_error(response)
            self._kept = (self._monotonic(), self._read(response.body))
        except HubUnavailableError as error:
            self._fail(error.reason, started, error.retry_after)
        except (InvalidResponseError, OAuthError) as error:
            self._fail(str(error), started)
        else:
            self._failed = None

    def _fail(self, reason: str, started: float, retry_after: float | None = None) -> None:
        elapsed = time.monotonic() - started
        self._failed = _Failed(f"{self._path} cannot be read: {reason}", elapsed, retry_after)
        log.warning(
            "The Hub's %s cannot be read: %s (tried for %.1f s)",
            self._path,
            reason,
            elapsed,
            extra={"zaikio_event": "hub.not_readable", "zaikio_path": self._path},
        )
