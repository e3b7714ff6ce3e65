"""A request to the Hub: time-outs, retries, deadline, 429. Errors of httpx become ours here."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx
import stamina

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError
from zaikio_oauth.retries_and_waits import (
    CONNECT_TIMEOUT,
    FIRST_BACKOFF,
    HUB_DEADLINE,
    LONGEST_BACKOFF,
    LONGEST_RETRY_AFTER,
    READ_TIMEOUT,
)

__all__ = ["NOT_JSON", "HubHttp", "HubResponse"]

MAX_RESPONSE_BYTES = 1024 * 1024


class _NotJson:
    def __repr__(self) -> str:
        return "<not JSON>"


NOT_JSON: Final = _NotJson()
"""The body of a response that is not JSON."""


@dataclass(frozen=True, slots=True)
class HubResponse:
    """A response of the Hub. ``repr`` shows only the status, because bodies contain tokens."""

    status_code: int
    body: Any = field(repr=False)
    received_at: datetime = field(repr=False)


class _TryAgain(Exception):
    """Raised by an attempt that failed and may be repeated."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class HubHttp:
    """One HTTP client with keep-alive, for one event loop. It never follows redirects."""

    def __init__(self, host: str, *, client: httpx.AsyncClient | None = None, timeout: float = READ_TIMEOUT) -> None:
        self._host = host
        self._owned = client is None
        self._client = client or httpx.AsyncClient()
        self._timeout = httpx.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout))

    async def request(
        self,
        method: str,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        bearer: str | None = None,
        deadline: float = HUB_DEADLINE,
        repeatable: bool,
    ) -> HubResponse:
        """Return the Hub's response, unless its status is 429 or 500 and above.

        A request that is not ``repeatable`` (with a single-use code or refresh token) is repeated only if the Hub
        cannot have acted upon it. Raises HubUnavailableError after ``deadline`` seconds.
        """
        headers = {"Accept": "application/json", "User-Agent": "zaikio_oauth"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        request = self._client.build_request(
            method, self._host + path, data=data, headers=headers, timeout=self._timeout
        )
        started = time.monotonic()
        try:
            async for attempt in stamina.retry_context(on=_backoff(started, deadline), attempts=None, timeout=deadline):
                with attempt:
                    return await self._once(request, auth, repeatable)
        except _TryAgain as failure:
            reason, retry_after = failure.reason, failure.retry_after
        raise HubUnavailableError(reason, elapsed=time.monotonic() - started, retry_after=retry_after)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owned:
            await self._client.aclose()

    async def _once(self, request: httpx.Request, auth: tuple[str, str] | None, repeatable: bool) -> HubResponse:
        try:
            response = await self._client.send(
                request, auth=httpx.BasicAuth(*auth) if auth else None, stream=True, follow_redirects=False
            )
            try:
                content = await _content(response)
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            failure: Exception = _TryAgain(f"no connection ({type(error).__name__})")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            failure = (_TryAgain if repeatable else _GiveUp)(f"no response ({type(error).__name__})")
        else:
            if response.status_code == 429:
                raise _TryAgain("it asks to slow down (429)", _retry_after(response.headers))
            if response.status_code >= 500:
                raise (_TryAgain if repeatable else _GiveUp)(f"it answered {response.status_code}")
            return HubResponse(response.status_code, _parsed(content), datetime.now(UTC))
        # Raised outside the handler, because httpx's errors hold the request with its secrets.
        raise failure


class _GiveUp(_TryAgain):
    """Raised by an attempt that failed and must not be repeated."""


def _backoff(started: float, deadline: float) -> Callable[[Exception], bool | float]:
    longest = FIRST_BACKOFF

    def decide(error: Exception) -> bool | float:
        """Return the seconds until the next attempt, or False if there is to be none."""
        nonlocal longest
        if not isinstance(error, _TryAgain) or isinstance(error, _GiveUp):
            return False
        # Jitter keeps clients that failed together from coming back together. The Hub may ask for a longer pause, but
        # not for none: the time that it names may have passed.
        pause = max(random.uniform(longest / 2, longest), error.retry_after or 0.0)  # noqa: S311
        longest = min(longest * 2, LONGEST_BACKOFF)
        return pause if time.monotonic() - started + pause < deadline else False

    return decide


async def _content(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise InvalidResponseError("The Hub's response is too large.")
    return bytes(content)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return NOT_JSON


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, by ``RateLimit-Reset`` (a UNIX time) or ``Retry-After`` (RFC 9110 §10.2.3)."""
    try:
        if "ratelimit-reset" in headers:
            seconds = float(headers["ratelimit-reset"]) - time.time()
        elif "retry-after" in headers:
            value = headers["retry-after"]
            seconds = float(value) if value.strip().isdigit() else _seconds_until(value)
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    if not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds_until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()
