"""ZaikioAuth, which puts a token on every request of a client of httpx or httpx2."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from datetime import timedelta
from inspect import currentframe
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import DEFAULT_VALID_FOR, AccessToken, BearerType, as_timedelta
from zaikio_oauth.application import ZaikioOAuth, default, runtime_of
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.tokens.blocking_portal import portal
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["ZaikioAuth"]

_CLIENTS: Any = (httpx.Client, httpx.AsyncClient)

if TYPE_CHECKING:
    _Auth = httpx.Auth
else:
    try:
        import httpx2
    except ModuleNotFoundError:  # pragma: no cover (shown by a test in a process of its own)
        _Auth = httpx.Auth
    else:

        class _Auth(httpx.Auth, httpx2.Auth):
            """Accepted by both libraries, each of which requires a subclass of its own ``Auth``."""

        _CLIENTS += (httpx2.Client, httpx2.AsyncClient)


class _Origin(NamedTuple):
    """Scheme, host and port: who gets what is sent there (RFC 6454 §4)."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, url: Any) -> _Origin:
        """Return that of a URL of httpx or httpx2."""
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or {"http": 80, "https": 443}.get(url.scheme))

    @classmethod
    def parse(cls, text: str) -> _Origin:
        """Return that of a text; raises ValueError or TypeError."""
        if not isinstance(text, str):
            raise TypeError(f"origin has to be a str or several, not {type(text).__name__}")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            url = httpx.URL()
        if url.scheme not in ("http", "https") or not url.host or "*" in url.host or url.userinfo:
            # Not quoted, because it might hold a password.
            raise ValueError("origin has to be like 'https://api.example.com', with the scheme and one host")
        return cls.of(url)

    def __str__(self) -> str:
        port = "" if self.port in (80, 443, None) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


class ZaikioAuth(_Auth):
    """Puts a bearer's token on every request, and on a 401 tries once more with another token (RFC 6750 §3.1).

    It takes and raises what ``get_access_token`` does, and works in ``AsyncClient`` and, in sync code, in ``Client``.

    ``origin``: where the token may go, such as ``https://api.example.com``, or several; by default the ``base_url`` of
    the client. The host of the Hub is always allowed. Requests to other origins (scheme, host and port), redirected
    ones too, are sent without the token; without ``origin`` and ``base_url`` they raise ConfigurationError.
    ``zaikio``: the ZaikioOAuth to use, by default the default object of the package.

    Only the 401 of an API that got the token counts, not one to which the request was redirected. If the other token
    is rejected too, or there is none, the 401 is returned, and for a minute so is every other 401. Streamed request
    bodies cannot be sent twice, so a 401 for them is returned as it is.

        auth = ZaikioAuth(bearer_type="Organization", bearer_id=organization_id)
        async with httpx.AsyncClient(auth=auth, base_url="https://hub.zaikio.com") as client:
            response = await client.get("/api/v1/organization")
    """

    def __init__(
        self,
        *,
        bearer_id: str,
        bearer_type: BearerType = "Person",
        client_name: str | None = None,
        scopes: str | Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
        origin: str | Iterable[str] | None = None,
        zaikio: ZaikioOAuth | None = None,
    ) -> None:
        self._wanted = (client_name, bearer_type, bearer_id, None if scopes is None else scope_rules.parse(scopes))
        self._valid_for = as_timedelta(valid_for)
        self._zaikio = zaikio
        origins = [origin] if isinstance(origin, str) else origin
        self._origins = None if origins is None else frozenset(map(_Origin.parse, origins))

    def __repr__(self) -> str:
        return f"<ZaikioAuth {self._wanted[1]}/{self._wanted[2]}>"

    # No generators, because these are called by the client, which is only known from its call.

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token, and once more with another one after a 401."""
        return self._sync_flow(request, self._origins_for(_base_url_of(currentframe())))

    def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token, and once more with another one after a 401."""
        return self._async_flow(request, self._origins_for(_base_url_of(currentframe())))

    def _sync_flow(
        self, request: httpx.Request, origins: frozenset[_Origin] | None
    ) -> Generator[httpx.Request, httpx.Response, None]:
        if not self._may_have_token(request, origins):
            yield _without_token(request)
            return
        portal.refuse_running_loop("async with httpx.AsyncClient(…)")
        token = portal.call(self._get)
        response = yield _with_token(request, token)
        if self._rejected(request, response, token, origins):
            other = portal.call(lambda: self._get_other_than(token))
            if other is not None:
                yield _with_token(request, other)

    async def _async_flow(
        self, request: httpx.Request, origins: frozenset[_Origin] | None
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if not self._may_have_token(request, origins):
            yield _without_token(request)
            return
        token = await self._get()
        response = yield _with_token(request, token)
        if self._rejected(request, response, token, origins):
            other = await self._get_other_than(token)
            if other is not None:
                yield _with_token(request, other)

    # --- where the token may go ---------------------------------------------------------------------------

    def _origins_for(self, base_url: Any) -> frozenset[_Origin] | None:
        if self._origins is not None or base_url is None or not base_url.host:
            return self._origins
        return frozenset({_Origin.of(base_url)})

    def _may_have_token(self, request: httpx.Request, origins: frozenset[_Origin] | None) -> bool:
        wanted = _Origin.of(request.url)
        if wanted == _Origin.of(httpx.URL(self._runtime.settings.host)):
            return True
        if origins is None:
            raise ConfigurationError(
                f"ZaikioAuth does not know whether {wanted} may have the token. If so, write "
                f"ZaikioAuth(…, origin={str(wanted)!r}), or give the client that base_url."
            )
        return wanted in origins

    def _rejected(
        self, request: httpx.Request, response: httpx.Response, token: AccessToken, origins: frozenset[_Origin] | None
    ) -> bool:
        """Return True if it was this token that was rejected, by an origin for which it is, and can be replaced."""
        # After redirects it is the response to the last request, which may have gone elsewhere or without the token.
        asked = response.request
        return (
            response.status_code == 401
            and hasattr(request, "_content")
            and asked.headers.get("Authorization") == _header(token)
            and self._may_have_token(asked, origins or frozenset())
        )

    # --- the token ----------------------------------------------------------------------------------------

    @property
    def _runtime(self) -> Runtime:
        return runtime_of(self._zaikio or default)

    async def _get(self) -> AccessToken:
        search = self._runtime.search(*self._wanted)
        async with self._runtime.use() as parts:
            return await parts.tokens.get(search, self._valid_for)

    async def _get_other_than(self, rejected: AccessToken) -> AccessToken | None:
        search = self._runtime.search(*self._wanted)
        async with self._runtime.use() as parts:
            return await parts.rejected_tokens.other_than(rejected, search, self._valid_for)


def _base_url_of(called: FrameType | None) -> Any:
    """Return the base URL of the client that has called a method of ZaikioAuth, or None.

    httpx tells an ``Auth`` nothing about its client, neither when it is given to one nor with the request. So this
    looks at the method of the client that asks for the flow. If it is ever called in another way, the base URL is not
    known, and whoever relies on it is asked to write ``origin=``.
    """
    caller = called.f_back if called else None
    client: Any = caller.f_locals.get("self") if caller else None
    return client.base_url if client is not None and isinstance(client, _CLIENTS) else None


def _header(token: AccessToken) -> str:
    return f"Bearer {token.token}"


def _with_token(request: httpx.Request, token: AccessToken) -> httpx.Request:
    request.headers["Authorization"] = _header(token)
    return request


def _without_token(request: httpx.Request) -> httpx.Request:
    # A redirect, or a careless caller, must not take the token elsewhere.
    request.headers.pop("Authorization", None)
    return request
