"""The ``connections`` routes: an organization installs the app."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.web.login_flow import LoginFlow
from zaikio_oauth.web.responses import http_error
from zaikio_oauth.web.site import Site

__all__ = ["Connections", "identifier"]

# A parameter that becomes part of a scope must not be able to add further scopes.
_IDENTIFIER = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")


class Connections:
    """Connects an organization by the authorization code grant; logs nobody in."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._flow = LoginFlow(site)

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to connect an organization."""
        visit = self.site.visit(request, "/connections/new", "connections")
        prefix = scope_rules.bearer_prefix("Organization", identifier(request, "organization_id"))
        return await self._flow.start(visit, scope_rules.with_prefix(visit.client.organization_scopes, prefix))

    async def approve(self, request: Request) -> Response:
        """Take the browser back from the Zaikio Hub, and store the organization's token."""
        return await self._flow.approve(self.site.visit(request, "/connections/approve", "connections"), log_in=False)


def identifier(request: Request, name: str) -> str | None:
    """Return a parameter that becomes part of a scope, or None; raises a 400 for characters that no id or name has."""
    values = request.query_params.getlist(name)
    if values in ([], [""]):
        return None
    if len(values) > 1:
        raise http_error(400, f"{name} may be given only once.")
    value = values[0]
    if not _IDENTIFIER.match(value):
        raise http_error(400, f"{name} may contain only letters, digits, - and _, at most 64.")
    return value
