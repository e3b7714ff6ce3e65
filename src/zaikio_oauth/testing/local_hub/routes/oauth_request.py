"""A form that a client posts, and how the client authenticates (RFC 6749 §2.3, §3.2)."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Self
from urllib.parse import unquote_plus

from starlette.requests import Request

from zaikio_oauth.testing.local_hub.routes.oauth_response import Refusal
from zaikio_oauth.testing.local_hub.state.directory import Directory, HubApp

__all__ = ["OAuthRequest", "basic_credentials"]

_FORM = "application/x-www-form-urlencoded"
# RFC 6749 §2.3.1: credentials MUST NOT be included in the request URI. The others would end up in logs as well.
_NEVER_IN_THE_URL = ("client_secret", "code", "code_verifier", "refresh_token", "device_code")


class OAuthRequest:
    """The values of the form. Empty ones are treated as if they were omitted (RFC 6749 §3.2)."""

    def __init__(self, request: Request, values: dict[str, str]) -> None:
        self.request = request
        self._values = values
        self._basic = basic_credentials(request)

    @classmethod
    async def read(cls, request: Request) -> Self:
        """Read the form.

        Raises Refusal if the body is not a form, a parameter is repeated, or the URL contains a secret.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal("invalid_request", f"The body must be {_FORM}")
        if any(name in request.query_params for name in _NEVER_IN_THE_URL):
            raise Refusal("invalid_request", "The URL must not contain secrets")
        form = await request.form()
        for name in form:
            if len(form.getlist(name)) > 1:
                raise Refusal("invalid_request", f"{name} must not be included more than once")
        return cls(request, {name: value for name, value in form.items() if isinstance(value, str) and value})

    def get(self, name: str) -> str | None:
        """Return the value, or None if it is missing."""
        return self._values.get(name)

    @property
    def by_basic(self) -> bool:
        """True if the app authenticates with HTTP Basic."""
        return self._basic is not None

    def client(self, directory: Directory, *, secret_required: bool = True) -> HubApp:
        """Authenticate the app and return it (RFC 6749 §2.3.1). Raises Refusal.

        Without ``secret_required`` a confidential app may omit its secret, but a wrong one is still refused.
        """
        client_id, secret = self.get("client_id"), self.get("client_secret")
        if self._basic is not None:
            if secret is not None or client_id not in (None, self._basic[0]):
                raise Refusal("invalid_request", "The client must not use more than one authentication method")
            client_id, secret = self._basic[0], self._basic[1] or None
        elif self.request.headers.get("authorization", "").lower().startswith("basic"):
            raise Refusal("invalid_client", "Client authentication failed", 401)
        app = directory.app_of(client_id or "")
        if app is None or not _secret_matches(app, secret, required=secret_required):
            raise Refusal("invalid_client", "Client authentication failed", 401)
        return app


def _secret_matches(app: HubApp, secret: str | None, *, required: bool) -> bool:
    if secret is None:
        return app.client_secret is None or not required
    # In constant time, so that measuring it does not reveal the secret.
    return app.client_secret is not None and hmac.compare_digest(app.client_secret.encode(), secret.encode())


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return client id and secret of HTTP Basic, form-decoded (RFC 6749 §2.3.1), or None if they cannot be read."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return unquote_plus(client_id), unquote_plus(secret)
