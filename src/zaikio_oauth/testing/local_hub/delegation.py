"""``/oauth/delegate``: a token for a subsystem, with a part of what its parent may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.api import bearer_token, unauthorized
from zaikio_oauth.testing.local_hub.grants import IssuedToken
from zaikio_oauth.testing.local_hub.oauth_request import OAuthRequest, Refusal, scope_refusal
from zaikio_oauth.testing.local_hub.requested_scopes import ScopeError, read_scopes
from zaikio_oauth.testing.local_hub.token_answer import issue_token

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Delegation"]

_MAY_DELEGATE = {"zaikio.delegations.rw", "directory.delegations.rw"}


class Delegation:
    """Gives tokens that cannot be refreshed or delegated further."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/oauth/delegate", self.delegate, methods=["POST"])]

    async def delegate(self, request: Request) -> Response:
        """Delegate a part of the token that authenticates the request."""
        parent = bearer_token(self._hub, request)
        if parent is None:
            return unauthorized(request)
        try:
            form = await OAuthRequest.read(request)
            self._check_confidential(parent)
            scopes = _part_of(parent, form.get("delegate_access_scope") or "")
            subsystem = self._hub.app_of(form.get("client_id") or "")
            if subsystem is None:
                raise Refusal("invalid_client", "There is no app with this client_id.")
        except Refusal as refusal:
            return refusal.response()
        except ScopeError as error:
            return scope_refusal(error.code)
        return issue_token(
            self._hub,
            request,
            subsystem,
            parent.bearer,
            scopes,
            refresh_lifetime=None,
            code=parent.code,
            delegated=True,
        )

    def _check_confidential(self, parent: IssuedToken) -> None:
        app = self._hub.app_of(parent.client_id)
        if app is None or app.client_secret is None:
            raise Refusal("unauthorized_client", "Only confidential apps may delegate.")


def _part_of(parent: IssuedToken, wanted: str) -> tuple[str, ...]:
    if parent.delegated:
        raise ScopeError("delegation_access_token_cannot_delegate")
    if not _MAY_DELEGATE.intersection(parent.scopes):
        raise ScopeError("parent_has_no_delegation_permission")
    scopes = read_scopes(wanted, None).scopes
    if not set(scopes) <= set(parent.scopes):
        raise ScopeError("scope_was_not_granted_in_parent")
    return scopes
