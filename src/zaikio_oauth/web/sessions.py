"""The ``sessions`` routes: a person logs in and out."""

from __future__ import annotations

import logging

from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from zaikio_oauth.web.hooks import called
from zaikio_oauth.web.login_flow import LoginFlow
from zaikio_oauth.web.navigation import is_from_another_site
from zaikio_oauth.web.responses import http_error, leave, private
from zaikio_oauth.web.session import LoginSession
from zaikio_oauth.web.site import Site

__all__ = ["Sessions"]

log = logging.getLogger("zaikio_oauth")


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
        address = self.site.address(request)
        if is_from_another_site(request, address):
            raise http_error(403, "Only this site can log a person out.")
        session = LoginSession(request)
        access_token_id = session.access_token_id
        session.log_out()
        if access_token_id:
            await self.site.logout.now(access_token_id)
        try:
            return leave(address, await called(self.site.hooks.after_destroy, request, access_token_id))
        except HTTPException:
            raise
        except Exception:
            # Answered here: an error that leaves the app takes the cleared session cookie with it.
            log.exception(
                "The hook after_destroy failed; the person is logged out nevertheless.",
                extra={"zaikio_event": "hook.after_destroy_failed"},
            )
            return private(PlainTextResponse("Internal Server Error", status_code=500))
