"""``/oauth/delegate``: tokens for subsystems."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.routes.bearer_authentication import authenticate, unauthorized
from zaikio_oauth.testing.local_hub.routes.oauth_request import OAuthRequest
from zaikio_oauth.testing.local_hub.routes.oauth_response import Refusal, issue_token, scope_refusal
from zaikio_oauth.testing.local_hub.state.grants import IssuedToken
from zaikio_oauth.testing.local_hub.state.hub_state import HubState
from zaikio_oauth.testing.local_hub.state.requested_scopes import ScopeError, read_scopes

__all__ = ["DelegationRoutes"]

_MAY_DELEGATE = {"zaikio.delegations.rw", "directory.delegations.rw"}


class DelegationRoutes:
    """Issues tokens with a part of the parent's scopes, which cannot be refreshed or delegated further."""

    def __init__(self, state: HubState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/oauth/delegate", self.delegate, methods=["POST"])]

    async def delegate(self, request: Request) -> Response:
        """Delegate a part of the scopes of the token that authenticates the request."""
        parent = authenticate(self._state.grants, request)
        if parent is None:
            return unauthorized(request)
        try:
            form = await OAuthRequest.read(request)
            self._check_confidential(parent)
            scopes = _delegated_scopes(parent, form.get("delegate_access_scope") or "")
            subsystem = self._state.app_of(form.get("client_id") or "")
            if subsystem is None:
                raise Refusal("invalid_client", "There is no app with this client_id.")
        except Refusal as refusal:
            return refusal.response()
        except ScopeError as error:
            return scope_refusal(error.code)
        return issue_token(
            self._state,
            request,
            subsystem,
            parent.bearer,
            scopes,
            refresh_lifetime=None,
            code=parent.code,
            delegated=True,
        )

    def _check_confidential(self, parent: IssuedToken) -> None:
        app = self._state.app_of(parent.client_id)
        if app is None or app.client_secret is None:
            raise Refusal("unauthorized_client", "Only confidential apps may delegate.")


def _delegated_scopes(parent: IssuedToken, wanted: str) -> tuple[str, ...]:
    if parent.delegated:
        raise ScopeError("delegation_access_token_cannot_delegate")
    if not _MAY_DELEGATE.intersection(parent.scopes):
        raise ScopeError("parent_has_no_delegation_permission")
    scopes = read_scopes(wanted, None).scopes
    if not set(scopes) <= set(parent.scopes):
        raise ScopeError("scope_was_not_granted_in_parent")
    return scopes
