"""``/oauth/access_token`` (RFC 6749 §3.2), strict about who asks and what for."""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.authorize import challenge_of
from zaikio_oauth.testing.local_hub.directory import HubApp
from zaikio_oauth.testing.local_hub.grants import Bearer, IssuedToken
from zaikio_oauth.testing.local_hub.requested_scopes import ScopeError, read_scopes

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["TokenEndpoint", "TokenRefused", "token_answer"]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenRefused(Exception):
    """A refusal (RFC 6749 §5.2)."""

    def __init__(self, error: str, description: str = "", status_code: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status_code = status_code

    def response(self) -> Response:
        """As the Hub says it."""
        body = {"error": self.error, "error_description": self.description or self.error}
        headers = dict(_NO_STORE)
        if self.status_code == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Zaikio"'
        return JSONResponse(body, self.status_code, headers)


class TokenEndpoint:
    """Gives tokens for codes, refresh tokens and client credentials."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/oauth/access_token", self.token, methods=["POST"])]

    async def token(self, request: Request) -> Response:
        """The token endpoint."""
        form = await request.form()
        grants = {
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            "client_credentials": self._client_credentials,
        }
        try:
            for name in form:
                if len(form.getlist(name)) > 1:
                    raise TokenRefused("invalid_request", f"{name} is there more than once")
            grant = grants.get(_text(form, "grant_type") or "")
            if grant is None:
                raise TokenRefused("unsupported_grant_type")
            app, by_basic = self._authenticated(request, form)
            return grant(request, form, app, by_basic)
        except TokenRefused as refused:
            return refused.response()

    def _authenticated(self, request: Request, form: FormData) -> tuple[HubApp, bool]:
        """The app that asks, and whether it used HTTP Basic (RFC 6749 §2.3.1)."""
        basic = _basic_credentials(request)
        client_id, secret = _text(form, "client_id"), _text(form, "client_secret")
        if basic is not None:
            if secret is not None or client_id not in (None, basic[0]):
                raise TokenRefused("invalid_request", "one way to authenticate is enough")
            client_id, secret = basic
        app = self._hub.app_of(client_id or "")
        if app is None:
            raise TokenRefused("invalid_client", "Client authentication failed", 401)
        if app.client_secret is None:
            if secret:
                raise TokenRefused("invalid_client", "Client authentication failed", 401)
        elif secret is None or not hmac.compare_digest(app.client_secret.encode(), secret.encode()):
            raise TokenRefused("invalid_client", "Client authentication failed", 401)
        return app, basic is not None

    def _authorization_code(self, request: Request, form: FormData, app: HubApp, by_basic: bool) -> Response:
        code = self._hub.grants.take_code(_text(form, "code") or "")
        if code is None or code.client_id != app.client_id:
            raise TokenRefused("invalid_grant", "The code is unknown, used, too old or another app's.")
        if code.redirect_uri != _text(form, "redirect_uri"):
            raise TokenRefused("invalid_grant", "The redirect_uri is not that of the authorization request.")
        verifier = _text(form, "code_verifier")
        if (code.code_challenge is None) != (verifier is None):
            raise TokenRefused("invalid_grant", "The code_verifier belongs to no code_challenge.")
        if verifier is not None and not hmac.compare_digest(code.code_challenge or "", challenge_of(verifier)):
            raise TokenRefused("invalid_grant", "The code_verifier is not that of the code_challenge.")
        issued = self._issue(request, app, code.bearer, code.scopes, refreshable=True, code=code.value)
        return token_answer(self._hub, issued)

    def _refresh_token(self, request: Request, form: FormData, app: HubApp, by_basic: bool) -> Response:
        if app.client_secret is not None and not by_basic:
            raise TokenRefused("invalid_client", "Confidential apps authenticate with HTTP Basic here.", 401)
        old = self._hub.grants.take_refresh_token(_text(form, "refresh_token") or "", app.client_id)
        if old is None:
            raise TokenRefused("invalid_grant", "The refresh token is spent, revoked or too old.")
        return token_answer(self._hub, self._issue(request, app, old.bearer, old.scopes, refreshable=True))

    def _client_credentials(self, request: Request, form: FormData, app: HubApp, by_basic: bool) -> Response:
        if app.client_secret is None:
            raise TokenRefused("unauthorized_client", "Only confidential apps may use client credentials.")
        if not by_basic:
            raise TokenRefused("invalid_client", "Confidential apps authenticate with HTTP Basic here.", 401)
        try:
            bearer, scopes = self._granted_before(app, _text(form, "scope") or "")
        except ScopeError as error:
            status = 402 if error.code == "ungranted_scope" else 422
            return JSONResponse({"errors": {"scopes": [error.code]}}, status, _NO_STORE)
        return token_answer(self._hub, self._issue(request, app, bearer, scopes, refreshable=True))

    def _granted_before(self, app: HubApp, scope: str) -> tuple[Bearer, tuple[str, ...]]:
        requested = read_scopes(scope, app.desired_scopes)
        bearer_id = requested.organization_id if requested.needs_organization else requested.person_id
        if bearer_id is None:
            raise ScopeError("malformed_scope")
        if requested.needs_organization:
            known: object = self._hub.organization(bearer_id)
        else:
            known = self._hub.person(bearer_id)
        if known is None:
            raise ScopeError("bearer_does_not_exist")
        bearer = Bearer(requested.bearer_type, bearer_id)
        if not set(requested.scopes) <= self._hub.grants.granted(app.client_id, bearer):
            raise ScopeError("ungranted_scope")
        return bearer, requested.scopes

    def _issue(
        self,
        request: Request,
        app: HubApp,
        bearer: Bearer,
        scopes: tuple[str, ...],
        *,
        refreshable: bool,
        code: str | None = None,
    ) -> IssuedToken:
        return self._hub.grants.issue(
            app,
            bearer,
            scopes,
            issuer=str(request.base_url).rstrip("/"),
            lifetime=self._hub.access_token_lifetime,
            refresh_lifetime=self._hub.refresh_token_lifetime if refreshable else None,
            code=code,
        )


def token_answer(hub: LocalHub, issued: IssuedToken) -> Response:
    """A token as the Hub hands it out; the spelling of ``expires_in`` is the Hub's choice."""
    seconds = int(issued.expires_at - hub.clock())
    expires_in: Any = {
        "seconds": seconds,
        "string": str(seconds),
        "iso8601": datetime.fromtimestamp(issued.expires_at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
    }[hub.expires_in_format]
    body: dict[str, Any] = {
        "access_token": issued.token,
        "token_type": "bearer",
        "scope": ",".join(issued.scopes),
        "audiences": [issued.audience],
        "expires_in": expires_in,
        "bearer": {"id": issued.bearer.id, "type": issued.bearer.type},
    }
    if issued.refresh_token:
        body["refresh_token"] = issued.refresh_token
    if issued.bearer.person_id:
        roles = list(issued.bearer.roles)
        body["bearer_on_behalf_of"] = {"id": issued.bearer.person_id, "type": "Person", "roles": roles}
    return JSONResponse(body, headers=_NO_STORE)


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        raise TokenRefused("invalid_client", "Client authentication failed", 401) from None
    return unquote_plus(client_id), unquote_plus(secret)
