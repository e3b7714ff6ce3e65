"""The ``sessions`` routes: a person logs in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.web.hooks import called
from zaikio_oauth.web.login_flow import LoginFlow
from zaikio_oauth.web.responses import leave
from zaikio_oauth.web.session import LoginSession
from zaikio_oauth.web.site import Site

__all__ = ["Sessions"]


class Sessions:
    """Logs people in by the authorization code grant, and out."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._flow = LoginFlow(site)

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to log in."""
        visit = self.site.visit(request, "/sessions/new", "sessions")
        return await self._flow.start(visit, visit.client.default_scopes)

    async def approve(self, request: Request) -> Response:
        """Take the browser back from the Zaikio Hub, and log the person in."""
        return await self._flow.approve(self.site.visit(request, "/sessions/approve", "sessions"), log_in=True)

    async def destroy(self, request: Request) -> Response:
        """Log out: revoke the token at the Zaikio Hub, delete it, and remove our keys from the session."""
        self.site.client(request)
        session = LoginSession(request)
        access_token_id = session.access_token_id
        if access_token_id:
            async with self.site.runtime.use() as parts:
                await parts.revocation.log_out(access_token_id)
        session.log_out()
        target = await called(self.site.hooks.after_destroy, request, access_token_id)
        return leave(self.site.address(request), target)
