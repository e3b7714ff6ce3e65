"""The token endpoint, ``POST /oauth/access_token``: one method per ``grant_type``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote_plus

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import Secret
from zaikio_oauth.errors import ConfigurationError, InvalidGrantError
from zaikio_oauth.hub.error_response import oauth_error
from zaikio_oauth.hub.http import HubHttp, RequestKind
from zaikio_oauth.hub.token_response import TokenResponse, token_response
from zaikio_oauth.settings import ClientSettings

__all__ = ["TokenEndpoint"]

_PATH = "/oauth/access_token"
_NO_CODE = "zaikio-oauth:check"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class TokenEndpoint:
    """Requests tokens. Every method raises OAuthError and its subclasses, InvalidResponseError, HubUnavailableError."""

    def __init__(self, http: HubHttp) -> None:
        self._http = http

    async def authorization_code(
        self, client: ClientSettings, *, code: str, redirect_uri: str, code_verifier: str | None
    ) -> TokenResponse:
        """Exchange an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5)."""
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            **_in_body(client),
        }
        if code_verifier:
            data["code_verifier"] = code_verifier
        response = await self._http.request("POST", _PATH, data=data, kind=RequestKind.CODE)
        return token_response(response)

    async def authenticate(self, client: ClientSettings, *, within: float) -> None:
        """Have the Hub authenticate the client (RFC 6749 §2.3), and ask it for nothing.

        The request names a code that does not exist, so it issues nothing, and the Hub is to look at the client first
        (§4.1.3). Raises OAuthError if the client is refused, or if the answer says nothing about it.
        """
        data = {"grant_type": "authorization_code", "code": _NO_CODE, "redirect_uri": _NO_CODE}
        data |= _in_body(client)
        response = await self._http.request("POST", _PATH, data=data, kind=RequestKind.IDEMPOTENT, within=within)
        with suppress(InvalidGrantError):
            raise oauth_error(response)

    async def refresh_token(self, client: ClientSettings, *, refresh_token: str, once: bool = False) -> TokenResponse:
        """Refresh a token (RFC 6749 §6); ``once`` makes one attempt only."""
        data = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        auth = basic(client)
        if auth is None:
            data["client_id"] = client.client_id
        response = await self._http.request("POST", _PATH, data=data, auth=auth, kind=RequestKind.REFRESH, once=once)
        return token_response(response)

    async def client_credentials(
        self, client: ClientSettings, *, scopes: Sequence[str], once: bool = False
    ) -> TokenResponse:
        """Request a token for the client itself (RFC 6749 §4.4), without the response's deprecated refresh token.

        ``once`` makes one attempt only.
        """
        auth = basic(client)
        if auth is None:
            raise ConfigurationError("A client without a secret cannot use client credentials.")
        data = {"grant_type": "client_credentials", "scope": scope_rules.join(scopes)}
        response = await self._http.request("POST", _PATH, data=data, auth=auth, kind=RequestKind.IDEMPOTENT, once=once)
        return replace(token_response(response), refresh_token=None, refresh_expires_at=None)

    async def device_code(self, client: ClientSettings, *, device_code: str) -> TokenResponse:
        """Request the token of a device (RFC 8628 §3.4).

        Raises OAuthError ``authorization_pending`` or ``slow_down`` until the person has decided. The Hub identifies a
        device by its ``client_id`` alone, even if the client has a secret.
        """
        data = {"grant_type": _DEVICE_CODE, "device_code": device_code, "client_id": client.client_id}
        response = await self._http.request("POST", _PATH, data=data, kind=RequestKind.CODE)
        return token_response(response)


def _in_body(client: ClientSettings) -> dict[str, str]:
    data = {"client_id": client.client_id}
    if client.client_secret:
        data["client_secret"] = Secret(client.client_secret.get_secret_value())
    return data


def basic(client: ClientSettings) -> tuple[str, str] | None:
    """Return the credentials for HTTP Basic, form-encoded (RFC 6749 §2.3.1), or None for a client without a secret."""
    if client.client_secret is None:
        return None
    return quote_plus(client.client_id), Secret(quote_plus(client.client_secret.get_secret_value()))
