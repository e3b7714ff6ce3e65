"""``/oauth/access_token`` (RFC 6749 §3.2), strict about who asks and what for."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.directory import HubApp
from zaikio_oauth.testing.local_hub.grants import Bearer
from zaikio_oauth.testing.local_hub.oauth_request import OAuthRequest, Refusal, scope_refusal
from zaikio_oauth.testing.local_hub.requested_scopes import ScopeError, read_scopes
from zaikio_oauth.testing.local_hub.token_answer import issue_token

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["DEVICE_CODE", "TokenEndpoint", "challenge_of"]

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class TokenEndpoint:
    """Gives tokens for codes, refresh tokens, client credentials and device codes."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._grants = {
            "authorization_code": self.authorization_code,
            "refresh_token": self.refresh_token,
            "client_credentials": self.client_credentials,
            DEVICE_CODE: self.device_code,
        }

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/oauth/access_token", self.token, methods=["POST"])]

    async def token(self, request: Request) -> Response:
        """The token endpoint."""
        try:
            form = await OAuthRequest.read(request)
            grant_type = form.get("grant_type") or ""
            if grant_type not in self._grants:
                raise Refusal("unsupported_grant_type")
            # A device has nowhere to keep a secret; the Hub asks for its client_id only.
            app = form.client(self._hub, secret_required=grant_type != DEVICE_CODE)
            return self._grants[grant_type](form, app)
        except Refusal as refusal:
            return refusal.response()

    def authorization_code(self, form: OAuthRequest, app: HubApp) -> Response:
        """A token for a code (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
        # Whoever shows a code spends it: one that came into wrong hands is worth nothing any more.
        code = self._hub.grants.take_code(form.get("code") or "")
        if code is None or code.client_id != app.client_id:
            raise Refusal("invalid_grant", "The code is unknown, used, too old or another app's.")
        if code.redirect_uri != form.get("redirect_uri"):
            raise Refusal("invalid_grant", "The redirect_uri is not that of the authorization request.")
        verifier = form.get("code_verifier")
        # RFC 9700 §2.1.1: a verifier without a challenge is a downgrade, and as wrong as the reverse.
        if (code.code_challenge is None) != (verifier is None):
            raise Refusal("invalid_grant", "The code_verifier belongs to no code_challenge.")
        if verifier is not None and not hmac.compare_digest(code.code_challenge or "", challenge_of(verifier)):
            raise Refusal("invalid_grant", "The code_verifier is not that of the code_challenge.")
        return issue_token(self._hub, form.request, app, code.bearer, code.scopes, code=code.value)

    def refresh_token(self, form: OAuthRequest, app: HubApp) -> Response:
        """A token for a refresh token, once (RFC 6749 §6)."""
        self._require_basic(form, app)
        old = self._hub.grants.find_refresh_token(form.get("refresh_token") or "", app.client_id)
        scopes = old.scopes if old else ()
        if old and (narrower := form.get("scope")):
            scopes = tuple(narrower.split(","))
            if not set(scopes) <= set(old.scopes):
                raise Refusal("invalid_scope", "A refresh cannot give more than was granted.")
        old = self._hub.grants.take_refresh_token(form.get("refresh_token") or "", app.client_id)
        if old is None:
            raise Refusal("invalid_grant", "The refresh token is spent, revoked or too old.")
        return issue_token(self._hub, form.request, app, old.bearer, scopes, code=old.code)

    def client_credentials(self, form: OAuthRequest, app: HubApp) -> Response:
        """A token for what a bearer has granted before; confidential apps only."""
        if app.client_secret is None:
            raise Refusal("unauthorized_client", "Only confidential apps may use client credentials.")
        self._require_basic(form, app)
        try:
            bearer, scopes = self._granted_before(app, form.get("scope") or "")
        except ScopeError as error:
            return scope_refusal(error.code)
        return issue_token(self._hub, form.request, app, bearer, scopes)

    def device_code(self, form: OAuthRequest, app: HubApp) -> Response:
        """A token for a device whose code somebody has allowed (RFC 8628 §3.4)."""
        answer = self._hub.device_codes.poll(form.get("device_code") or "", app.client_id)
        if isinstance(answer, str):
            raise Refusal(answer, _POLLING.get(answer, ""))
        bearer, scopes = answer
        self._hub.grants.grant(app.client_id, bearer, scopes)
        return issue_token(self._hub, form.request, app, bearer, scopes)

    def _require_basic(self, form: OAuthRequest, app: HubApp) -> None:
        if app.client_secret is not None and not form.by_basic:
            raise Refusal("invalid_client", "Confidential apps authenticate with HTTP Basic here.", 401)

    def _granted_before(self, app: HubApp, scope: str) -> tuple[Bearer, tuple[str, ...]]:
        requested = read_scopes(scope, app.desired_scopes)
        bearer_id = requested.organization_id if requested.needs_organization else requested.person_id
        if bearer_id is None or requested.on_behalf:
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


_POLLING = {
    "authorization_pending": "Nobody has answered yet.",
    "slow_down": "Wait five seconds longer between two questions.",
    "expired_token": "The device code is too old.",
    "access_denied": "The person cancelled.",
    "invalid_grant": "The device code is unknown, used or another app's.",
}


def challenge_of(code_verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 §4.6)."""
    return base64.urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
