"""``POST /oauth/access_token``: a method per ``grant_type``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote_plus

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.token_response import TokenResponse, token_response
from zaikio_oauth.settings import ClientSettings

__all__ = ["TokenEndpoint"]

_PATH = "/oauth/access_token"
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class TokenEndpoint:
    """Asks the Hub for tokens. Raises OAuthError and its kinds, InvalidResponseError, HubUnavailableError."""

    def __init__(self, http: HubHttp) -> None:
        self._http = http

    async def authorization_code(
        self, client: ClientSettings, *, code: str, redirect_uri: str, code_verifier: str | None, deadline: float = 30.0
    ) -> TokenResponse:
        """RFC 6749 §4.1.3, RFC 7636 §4.5."""
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": client.client_id,
        }
        if client.client_secret:
            data["client_secret"] = client.client_secret.get_secret_value()
        if code_verifier:
            data["code_verifier"] = code_verifier
        answer = await self._http.request("POST", _PATH, data=data, deadline=deadline, repeatable=False)
        return token_response(answer)

    async def refresh_token(
        self, client: ClientSettings, *, refresh_token: str, deadline: float = 30.0
    ) -> TokenResponse:
        """RFC 6749 §6."""
        data = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        auth = basic(client)
        if auth is None:
            data["client_id"] = client.client_id
        answer = await self._http.request("POST", _PATH, data=data, auth=auth, deadline=deadline, repeatable=False)
        return token_response(answer)

    async def client_credentials(
        self, client: ClientSettings, *, scopes: Sequence[str], deadline: float = 30.0
    ) -> TokenResponse:
        """RFC 6749 §4.4; the answer's refresh token is deprecated and dropped."""
        auth = basic(client)
        if auth is None:
            raise ConfigurationError("A client without a secret cannot use client credentials.")
        data = {"grant_type": "client_credentials", "scope": scope_rules.join(scopes)}
        answer = await self._http.request("POST", _PATH, data=data, auth=auth, deadline=deadline, repeatable=True)
        return replace(token_response(answer), refresh_token=None, refresh_expires_at=None)

    async def device_code(self, client: ClientSettings, *, device_code: str, deadline: float = 30.0) -> TokenResponse:
        """RFC 8628 §3.4; OAuthError ``authorization_pending`` or ``slow_down`` until somebody has decided.

        The Hub knows a device by its ``client_id`` alone, also where the client has a secret.
        """
        data = {"grant_type": _DEVICE_CODE, "device_code": device_code, "client_id": client.client_id}
        answer = await self._http.request("POST", _PATH, data=data, deadline=deadline, repeatable=False)
        return token_response(answer)


def basic(client: ClientSettings) -> tuple[str, str] | None:
    """The client's credentials for HTTP Basic, form-encoded (RFC 6749 §2.3.1); None for a non-confidential one."""
    if client.client_secret is None:
        return None
    return quote_plus(client.client_id), quote_plus(client.client_secret.get_secret_value())
