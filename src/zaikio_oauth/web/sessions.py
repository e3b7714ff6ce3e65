"""The ``sessions`` routes: a person logs in and out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.web import session as login
from zaikio_oauth.web.hooks import Parts, called
from zaikio_oauth.web.login_flow import AuthorizationCode, go
from zaikio_oauth.web.routes import START_PARAMETERS, add_routes

__all__ = ["Sessions"]


class Sessions:
    """Logs people in by the redirect flow, and out."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._flow = AuthorizationCode(parts, "sessions")

    def router(self, **options: Any) -> APIRouter:
        """A router of these routes."""
        router = APIRouter(**options)
        add_routes(router, "GET", "/sessions/new", self.new, "zaikio_new_session", START_PARAMETERS)
        add_routes(router, "GET", "/sessions/approve", self.approve, "zaikio_approve_session")
        add_routes(router, "DELETE", "/session", self.destroy, "zaikio_destroy_session")
        add_routes(router, "POST", "/session/delete", self.destroy, "zaikio_delete_session_form")
        return router

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to log in."""
        _, client = self._flow.client(request)
        return self._flow.start(request, client.default_scopes)

    async def approve(self, request: Request) -> Response:
        """Take the browser back from the Zaikio Hub, and log the person in."""
        return await self._flow.approve(request, _accept)

    async def destroy(self, request: Request) -> Response:
        """Log out: revoke the token at the Zaikio Hub, forget it, clear the session's keys."""
        self._flow.client(request)
        access_token_id = login.access_token_id(request)
        if access_token_id:
            tokens = await self.parts.tokens()
            await tokens.log_out(access_token_id)
        login.log_out(request)
        hook = self.parts.hooks.after_destroy
        return go(request, self.parts, await called(hook, request, access_token_id) if hook else None)


def _accept(request: Request, token: AccessToken) -> None:
    # A token of an organization itself stands for no person, so nobody is logged in by it.
    if token.person_id is not None:
        login.log_in(request, token)
