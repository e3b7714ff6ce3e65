"""``ZaikioAuth``: the token on every request of an ``httpx.AsyncClient``, and of an httpx2 one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.application import ZaikioOAuth
from zaikio_oauth.default import default
from zaikio_oauth.tokens.token_manager import DEFAULT_VALID_FOR

__all__ = ["ZaikioAuth"]

if TYPE_CHECKING:
    _Auth = httpx.Auth
else:
    try:
        import httpx2
    except ModuleNotFoundError:  # pragma: no cover (the tests have it)
        _Auth = httpx.Auth
    else:

        class _Auth(httpx.Auth, httpx2.Auth):
            """Known to both libraries: each asks whether it is an ``Auth`` of its own."""


class ZaikioAuth(_Auth):
    """Puts a bearer's token on every request; on a 401 fetches a fresh one and tries once more.

    Takes what ``get_access_token`` takes. ``zaikio`` is the ZaikioOAuth to ask, the default one if left out.
    The token goes only to the origin (scheme, host and port) of the client's ``base_url``, or of the first
    request where it has none; other requests, also redirected ones, are sent without. Streamed request bodies cannot
    be sent twice, so their 401 is given back as it is.
    """

    def __init__(
        self,
        *,
        bearer_id: str,
        bearer_type: str = "Person",
        client_name: str | None = None,
        scopes: Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
        origin: str | None = None,
        zaikio: ZaikioOAuth | None = None,
    ) -> None:
        """``origin``: where the token may go, such as ``https://hub.zaikio.com``; else the first request's."""
        self._wanted: dict[str, Any] = {
            "bearer_id": bearer_id,
            "bearer_type": bearer_type,
            "client_name": client_name,
            "scopes": tuple(scopes) if scopes is not None else None,
            "valid_for": valid_for,
        }
        self._zaikio = zaikio
        self._origin = _origin_of(httpx.URL(origin)) if origin else None

    def __repr__(self) -> str:
        return f"<ZaikioAuth {self._wanted['bearer_type']}/{self._wanted['bearer_id']}>"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Not for ``httpx.Client``; raises RuntimeError."""
        raise RuntimeError("ZaikioAuth works with AsyncClient only.")

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The request with a token, and once more with a fresh one after a 401 (RFC 6750 §3.1)."""
        origin = _origin_of(request.url)
        if self._origin is None:
            self._origin = origin
        if origin != self._origin:
            # What a redirect or a careless caller sends elsewhere must not carry the token there.
            request.headers.pop("Authorization", None)
            yield request
            return
        zaikio = self._zaikio or default()
        token = await zaikio.get_access_token(**self._wanted)
        response = yield _with_token(request, token)
        if response.status_code == 401 and hasattr(request, "_content"):
            yield _with_token(request, await zaikio.get_fresh_access_token(token, **self._wanted))


def _with_token(request: httpx.Request, token: AccessToken) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token.token}"
    return request


def _origin_of(url: Any) -> tuple[str, str, int | None]:
    default_port = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default_port
