"""A form that a client posts, read as RFC 6749 says, and the refusal that it may get."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zaikio_oauth.testing.local_hub.directory import HubApp

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["NO_STORE", "OAuthRequest", "Refusal", "basic_credentials", "scope_refusal"]

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM = "application/x-www-form-urlencoded"
# RFC 6749 §2.3.1: credentials must not be in the URI; the rest would end up in logs as well.
_NEVER_IN_THE_URL = ("client_secret", "code", "code_verifier", "refresh_token", "device_code")


class Refusal(Exception):
    """A refusal (RFC 6749 §5.2)."""

    def __init__(self, error: str, description: str = "", status_code: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status_code = status_code

    def response(self) -> Response:
        """As the Hub says it."""
        body = {"error": self.error, "error_description": self.description or self.error}
        headers = dict(NO_STORE)
        if self.status_code == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Zaikio"'
        return JSONResponse(body, self.status_code, headers)


class OAuthRequest:
    """The form's values by name; one that is empty counts as left out (RFC 6749 §3.2)."""

    def __init__(self, request: Request, values: dict[str, str]) -> None:
        self.request = request
        self._values = values
        self._basic = basic_credentials(request)

    @classmethod
    async def read(cls, request: Request) -> Self:
        """The form; raises Refusal for one that is no form, says something twice, or hides a secret in the URL."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal("invalid_request", f"The body has to be {_FORM}")
        if any(name in request.query_params for name in _NEVER_IN_THE_URL):
            raise Refusal("invalid_request", "Secrets do not belong into the URL")
        form = await request.form()
        for name in form:
            if len(form.getlist(name)) > 1:
                raise Refusal("invalid_request", f"{name} is there more than once")
        return cls(request, {name: value for name, value in form.items() if isinstance(value, str) and value})

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self._values.get(name)

    @property
    def by_basic(self) -> bool:
        """Whether the app authenticates with HTTP Basic."""
        return self._basic is not None

    def client(self, hub: LocalHub, *, secret_required: bool = True) -> HubApp:
        """The app that asks, authenticated in one way (RFC 6749 §2.3.1); raises Refusal.

        Without ``secret_required`` a confidential app may leave its secret out, but not send a wrong one.
        """
        client_id, secret = self.get("client_id"), self.get("client_secret")
        if self._basic is not None:
            if secret is not None or client_id not in (None, self._basic[0]):
                raise Refusal("invalid_request", "one way to authenticate is enough")
            client_id, secret = self._basic[0], self._basic[1] or None
        elif self.request.headers.get("authorization", "").lower().startswith("basic"):
            raise Refusal("invalid_client", "Client authentication failed", 401)
        app = hub.app_of(client_id or "")
        if app is None or not _is_right(app, secret, required=secret_required):
            raise Refusal("invalid_client", "Client authentication failed", 401)
        return app


def _is_right(app: HubApp, secret: str | None, *, required: bool) -> bool:
    if secret is None:
        return app.client_secret is None or not required
    # In constant time, so that nobody learns a secret by measuring.
    return app.client_secret is not None and hmac.compare_digest(app.client_secret.encode(), secret.encode())


def scope_refusal(code: str) -> Response:
    """How the Hub refuses scopes outside of the redirect flow: 402 for what a bearer has not granted, else 422."""
    return JSONResponse({"errors": {"scopes": [code]}}, 402 if code == "ungranted_scope" else 422, NO_STORE)


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Client id and secret of HTTP Basic, form-decoded (RFC 6749 §2.3.1); None where there are none or broken ones."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return unquote_plus(client_id), unquote_plus(secret)
