"""``/oauth/access_token``: the token endpoint, with a method for each grant type (RFC 6749 §3.2)."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.routes.oauth_request import OAuthRequest
from zaikio_oauth.testing.local_hub.routes.oauth_response import Refusal, issue_token, scope_refusal
from zaikio_oauth.testing.local_hub.state.bearer import Bearer
from zaikio_oauth.testing.local_hub.state.directory import HubApp
from zaikio_oauth.testing.local_hub.state.hub_state import HubState
from zaikio_oauth.testing.local_hub.state.requested_scopes import ScopeError, read_scopes

__all__ = ["GrantTypes"]

_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class GrantTypes:
    """Issues tokens for authorization codes, refresh tokens, client credentials and device codes."""

    def __init__(self, state: HubState) -> None:
        self._state = state
        self._grant_types = {
            "authorization_code": self.authorization_code,
            "refresh_token": self.refresh_token,
            "client_credentials": self.client_credentials,
            _DEVICE_CODE: self.device_code,
        }

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/oauth/access_token", self.token, methods=["POST"])]

    async def token(self, request: Request) -> Response:
        """Authenticate the app and pass the request to the method of its grant type."""
        try:
            form = await OAuthRequest.read(request)
            grant_type = form.get("grant_type") or ""
            if grant_type not in self._grant_types:
                raise Refusal("unsupported_grant_type")
            # A device cannot keep a secret, so the Hub requires its client_id only.
            app = form.client(self._state, secret_required=grant_type != _DEVICE_CODE)
            return self._grant_types[grant_type](form, app)
        except Refusal as refusal:
            return refusal.response()

    def authorization_code(self, form: OAuthRequest, app: HubApp) -> Response:
        """Exchange an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
        # Any request with the code consumes it, even one that fails: a code that was stolen must become useless.
        code = self._state.grants.take_code(form.get("code") or "")
        if code is None or code.client_id != app.client_id:
            raise Refusal("invalid_grant", "The code is unknown, already used, expired, or was issued to another app.")
        if code.redirect_uri != form.get("redirect_uri"):
            raise Refusal("invalid_grant", "The redirect_uri is not the one of the authorization request.")
        verifier = form.get("code_verifier")
        # RFC 9700 §2.1.1: a verifier for a request without a challenge is a PKCE downgrade attack.
        if (code.code_challenge is None) != (verifier is None):
            raise Refusal("invalid_grant", "Only one of code_challenge and code_verifier was sent.")
        if verifier is not None and not hmac.compare_digest(code.code_challenge or "", _s256_challenge(verifier)):
            raise Refusal("invalid_grant", "The code_verifier does not match the code_challenge.")
        return issue_token(self._state, form.request, app, code.bearer, code.scopes, code=code.value)

    def refresh_token(self, form: OAuthRequest, app: HubApp) -> Response:
        """Exchange a refresh token, which works once (RFC 6749 §6)."""
        self._require_basic(form, app)
        old = self._state.grants.find_refresh_token(form.get("refresh_token") or "", app.client_id)
        scopes = old.scopes if old else ()
        if old and (narrower := form.get("scope")):
            scopes = tuple(narrower.split(","))
            if not set(scopes) <= set(old.scopes):
                raise Refusal("invalid_scope", "A refresh must not request a scope that was not granted.")
        old = self._state.grants.take_refresh_token(form.get("refresh_token") or "", app.client_id)
        if old is None:
            raise Refusal("invalid_grant", "The refresh token is already used, revoked or expired.")
        return issue_token(self._state, form.request, app, old.bearer, scopes, code=old.code)

    def client_credentials(self, form: OAuthRequest, app: HubApp) -> Response:
        """Issue a token for scopes that the bearer has granted before (RFC 6749 §4.4). Confidential apps only."""
        if app.client_secret is None:
            raise Refusal("unauthorized_client", "Only confidential apps may use client credentials.")
        self._require_basic(form, app)
        try:
            bearer, scopes = self._granted_before(app, form.get("scope") or "")
        except ScopeError as error:
            return scope_refusal(error.code)
        return issue_token(self._state, form.request, app, bearer, scopes)

    def device_code(self, form: OAuthRequest, app: HubApp) -> Response:
        """Exchange a device code that a person has approved (RFC 8628 §3.4)."""
        answer = self._state.device_codes.poll(form.get("device_code") or "", app.client_id)
        if isinstance(answer, str):
            raise Refusal(answer, _DEVICE_ERRORS.get(answer, ""))
        bearer, scopes = answer
        self._state.grants.grant(app.client_id, bearer, scopes)
        return issue_token(self._state, form.request, app, bearer, scopes)

    def _require_basic(self, form: OAuthRequest, app: HubApp) -> None:
        if app.client_secret is not None and not form.by_basic:
            raise Refusal("invalid_client", "Confidential apps must authenticate with HTTP Basic.", 401)

    def _granted_before(self, app: HubApp, scope: str) -> tuple[Bearer, tuple[str, ...]]:
        requested = read_scopes(scope, app.desired_scopes)
        bearer_id = requested.organization_id if requested.needs_organization else requested.person_id
        if bearer_id is None or requested.on_behalf:
            raise ScopeError("malformed_scope")
        if requested.needs_organization:
            known: object = self._state.organization(bearer_id)
        else:
            known = self._state.person(bearer_id)
        if known is None:
            raise ScopeError("bearer_does_not_exist")
        bearer = Bearer(requested.bearer_type, bearer_id)
        if not set(requested.scopes) <= self._state.grants.granted(app.client_id, bearer):
            raise ScopeError("ungranted_scope")
        return bearer, requested.scopes


_DEVICE_ERRORS = {
    "authorization_pending": "The person has not answered yet.",
    "slow_down": "Wait five seconds longer between requests.",
    "expired_token": "The device code has expired.",
    "access_denied": "The person cancelled.",
    "invalid_grant": "The device code is unknown, already used, or was issued to another app.",
}


def _s256_challenge(code_verifier: str) -> str:
    # Not the function of zaikio_oauth.web.flow: its mistakes must not go unnoticed because both sides share them.
    return base64.urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
