"""ZaikioAuth, which puts a token on every request of an ``AsyncClient`` of httpx or httpx2."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import DEFAULT_VALID_FOR, AccessToken, as_timedelta
from zaikio_oauth.application import ZaikioOAuth, default, runtime_of

__all__ = ["ZaikioAuth"]

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


class ZaikioAuth(_Auth):
    """Puts a bearer's token on every request, and on a 401 tries once more with another token (RFC 6750 §3.1).

    Only the 401 of an API that got the token counts, not one to which the request was redirected.

    It takes and raises what ``get_access_token`` does. ``origin``: where the token may go, such as
    ``https://hub.zaikio.com``; by default the origin (scheme, host and port) of the first request. Requests to other
    origins, redirected ones too, are sent without it. ``zaikio``: the ZaikioOAuth to use, by default the process's.
    Streamed request bodies cannot be sent twice, so a 401 for them is returned as it is.

        auth = ZaikioAuth(bearer_type="Organization", bearer_id=organization_id)
        async with httpx.AsyncClient(auth=auth, base_url="https://hub.zaikio.com") as client:
            response = await client.get("/api/v1/organization")
    """

    def __init__(
        self,
        *,
        bearer_id: str,
        bearer_type: str = "Person",
        client_name: str | None = None,
        scopes: str | Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
        origin: str | None = None,
        zaikio: ZaikioOAuth | None = None,
    ) -> None:
        self._client_name = client_name
        self._bearer_type = bearer_type
        self._bearer_id = bearer_id
        self._scopes = None if scopes is None else scope_rules.parse(scopes)
        self._valid_for = as_timedelta(valid_for)
        self._zaikio = zaikio
        self._origin = _origin_of(httpx.URL(origin)) if origin else None

    def __repr__(self) -> str:
        return f"<ZaikioAuth {self._bearer_type}/{self._bearer_id}>"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Raise RuntimeError, because ``httpx.Client`` is not supported."""
        raise RuntimeError("ZaikioAuth works with AsyncClient only.")

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token, and once more with another one after a 401."""
        origin = _origin_of(request.url)
        if self._origin is None:
            self._origin = origin
        if origin != self._origin:
            # A redirect, or a careless caller, must not take the token elsewhere.
            request.headers.pop("Authorization", None)
            yield request
            return
        runtime = runtime_of(self._zaikio or default)
        search = runtime.search(self._client_name, self._bearer_type, self._bearer_id, self._scopes)
        async with runtime.use() as parts:
            token = await parts.tokens.get(search, self._valid_for)
        response = yield _with_token(request, token)
        if response.status_code == 401 and hasattr(request, "_content") and self._rejected(response, token):
            async with runtime.use() as parts:
                token = await parts.tokens.get_instead_of(token, search, self._valid_for)
            yield _with_token(request, token)

    def _rejected(self, response: httpx.Response, token: AccessToken) -> bool:
        """Return True if it was this token that was rejected, and by the origin for which it is."""
        # After redirects it is the response to the last request, which may have gone elsewhere or without the token.
        asked = response.request
        return _origin_of(asked.url) == self._origin and asked.headers.get("Authorization") == _header(token)


def _header(token: AccessToken) -> str:
    return f"Bearer {token.token}"


def _with_token(request: httpx.Request, token: AccessToken) -> httpx.Request:
    request.headers["Authorization"] = _header(token)
    return request


def _origin_of(url: Any) -> tuple[str, str, int | None]:
    default_port = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default_port
