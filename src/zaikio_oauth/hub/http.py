"""A request to the Hub: one deadline for it, retries, 429. Errors of httpx become ours here."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import cache
from http.cookiejar import CookieJar
from ssl import SSLContext
from typing import Any, Final

import httpx

from zaikio_oauth.access_token import Secret
from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError
from zaikio_oauth.hub.client_pool import CONNECTIONS, ClientPool
from zaikio_oauth.settings.retries_and_waits import (
    ATTEMPT_TIMEOUT,
    CONNECT_TIMEOUT,
    FIRST_BACKOFF,
    HUB_DEADLINE,
    LONGEST_BACKOFF,
    LONGEST_RETRY_AFTER,
    SINGLE_USE_ATTEMPT,
    Deadline,
)

__all__ = ["NOT_JSON", "HubHttp", "HubResponse", "RequestKind"]

_SECRET_FIELDS = frozenset({"access_token", "refresh_token", "device_code"})
MAX_RESPONSE_BYTES = 1024 * 1024

_TIMEOUT = httpx.Timeout(None, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT)
"""Reading and writing are limited by our deadlines, because httpx starts its own anew with each chunk."""


@cache
def _tls_context() -> SSLContext:
    # Reading the certificates takes 30 ms, in which the event loop does nothing else; a process needs them once.
    return httpx.create_ssl_context()


class _NoCookies(CookieJar):
    """Keeps none: a cookie that the Hub sets in one person's request must not be sent with another's."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave them in the response."""


class _NotJson:
    def __repr__(self) -> str:
        return "<not JSON>"


NOT_JSON: Final = _NotJson()
"""The body of a response that is not JSON."""


@dataclass(frozen=True, slots=True)
class HubResponse:
    """A response of the Hub. ``repr`` shows only the status, because bodies contain tokens.

    ``date_header``: what the Hub's clock showed when it answered (RFC 9110 §6.6.1), if it says.
    """

    status_code: int
    body: Any = field(repr=False)
    received_at: datetime = field(repr=False)
    date_header: str = field(default="", repr=False)

    @property
    def date(self) -> datetime | None:
        """The same, in whole seconds; None if it is not there or no date."""
        try:
            date = parsedate_to_datetime(self.date_header)
        except ValueError:
            return None
        # One with the zone "-0000" is naive (RFC 5322 §3.3), and in UTC.
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date


class RequestKind(Enum):
    """What becomes of a request that the Hub gets twice. It decides how long we wait, and when we repeat it."""

    IDEMPOTENT = auto()
    """Nothing: each attempt has a time-out of its own, and is repeated after anything that may pass."""

    REFRESH = auto()
    """A refresh token is single-use, and the Hub may spend it late: an attempt waits for its response until the
    deadline. It is repeated after a 5xx or a broken connection, when no response can come any more; the next refresh
    would have to send the same token anyway."""

    CODE = auto()
    """A code that is sent twice revokes the tokens that were issued for it (RFC 6749 §4.1.2): an attempt waits for its
    response until the deadline, and is repeated only if the Hub cannot have acted upon it."""


class _Failure(Exception):
    """Raised by an attempt without a usable response. ``acted`` is False if the Hub cannot have acted upon it."""

    def __init__(self, reason: str, *, acted: bool, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.acted = acted
        self.retry_after = retry_after


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return httpx.AsyncClient(cookies=_NoCookies(), verify=_tls_context(), limits=limits)


class HubHttp:
    """HTTP clients with keep-alive, for one event loop. They never follow redirects and keep no cookies."""

    def __init__(
        self,
        host: str,
        *,
        new_client: Callable[[], httpx.AsyncClient] = _client,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
    ) -> None:
        """``new_client`` makes one; ``attempt_timeout`` is for one attempt of an idempotent request, in seconds."""
        self._host = host
        self._clients = ClientPool(new_client)
        self._attempt_timeout = attempt_timeout
        # Only here, because an import of the library does without it, and should be quick.
        from stamina import retry_context  # noqa: PLC0415

        self._retry_context = retry_context

    async def request(
        self,
        method: str,
        path: str,
        *,
        kind: RequestKind,
        data: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        bearer: str | None = None,
        within: float = HUB_DEADLINE,
        once: bool = False,
    ) -> HubResponse:
        """Return the Hub's response, unless its status is 429 or 500 and above.

        ``within``: the deadline in seconds, for all attempts together and until the response has been read.
        ``once``: make one attempt only.
        Raises HubUnavailableError if there is no response by then, InvalidResponseError if it is too large or
        compressed.
        """
        # A compressed response could be unpacked to any size (RFC 9110 §12.5.3).
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "zaikio_oauth"}
        if bearer is not None:
            headers["Authorization"] = Secret(f"Bearer {bearer}")
        request = self._clients.first.build_request(
            method, self._host + path, data=data, headers=headers, timeout=_TIMEOUT
        )
        credentials = httpx.BasicAuth(*auth) if auth else None
        started = time.monotonic()
        reason, retry_after = "no response in time", None
        try:
            async with Deadline(within):
                backoff = _backoff(started, within, kind)
                async for attempt in self._retry_context(on=backoff, attempts=1 if once else None, timeout=None):
                    with attempt:
                        return await self._attempt(request, credentials, kind)
        except _Failure as failure:
            reason, retry_after = failure.reason, failure.retry_after
        except TimeoutError:
            pass
        # Raised outside the handlers, because what they caught may hold the request with its secrets.
        raise HubUnavailableError(reason, elapsed=time.monotonic() - started, retry_after=retry_after)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._clients.aclose()

    async def _attempt(
        self, request: httpx.Request, credentials: httpx.BasicAuth | None, kind: RequestKind
    ) -> HubResponse:
        try:
            async with Deadline(self._attempt_timeout if kind is RequestKind.IDEMPOTENT else None):
                return await self._response(request, credentials)
        except TimeoutError:
            failure = _Failure("no response in time", acted=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            failure = _Failure(f"no connection ({type(error).__name__})", acted=False)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            failure = _Failure(f"no response ({type(error).__name__})", acted=True)
        raise failure

    async def _response(self, request: httpx.Request, credentials: httpx.BasicAuth | None) -> HubResponse:
        with self._clients.client() as client:
            response = await client.send(request, auth=credentials, stream=True, follow_redirects=False)
            try:
                # Without reading the body, which may come slowly and says nothing that we need.
                if response.status_code == 429:
                    retry_after = _retry_after(response.headers)
                    raise _Failure("it asks to slow down (429)", acted=False, retry_after=retry_after)
                if response.status_code >= 500:
                    raise _Failure(f"it answered {response.status_code}", acted=True)
                content = await _content(response)
            finally:
                await response.aclose()
        return HubResponse(response.status_code, _parsed(content), datetime.now(UTC), response.headers.get("date", ""))


def _backoff(started: float, within: float, kind: RequestKind) -> Callable[[Exception], bool | float]:
    longest = FIRST_BACKOFF
    # An attempt that the deadline cuts short may have been performed, and what it was given for is lost.
    last_start = within - (0.0 if kind is RequestKind.IDEMPOTENT else SINGLE_USE_ATTEMPT)

    def decide(error: Exception) -> bool | float:
        """Return the seconds until the next attempt, or False if there is to be none."""
        nonlocal longest
        if not isinstance(error, _Failure) or (error.acted and kind is RequestKind.CODE):
            return False
        # Jitter keeps clients that failed together from coming back together. The Hub may ask for a longer pause, but
        # not for none: the time that it names may have passed.
        pause = max(random.uniform(longest / 2, longest), error.retry_after or 0.0)  # noqa: S311
        longest = min(longest * 2, LONGEST_BACKOFF)
        return pause if time.monotonic() - started + pause < last_start else False

    return decide


async def _content(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise InvalidResponseError("The Hub's response is compressed, which was not asked for.")
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise InvalidResponseError("The Hub's response is too large.")
    return bytes(content)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, object_hook=_without_secrets_in_sight)
    except (ValueError, RecursionError):
        return NOT_JSON


def _without_secrets_in_sight(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a JSON object, those that are secret as texts that are not shown."""
    return {
        name: Secret(value) if name in _SECRET_FIELDS and isinstance(value, str) else value
        for name, value in fields.items()
    }


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
