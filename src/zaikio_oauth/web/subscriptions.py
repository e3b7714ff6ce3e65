"""The ``subscriptions`` route: an organization subscribes (Hub documentation, "Subscription redirect flow")."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.web.connections import identifier
from zaikio_oauth.web.login_flow import LoginFlow, single
from zaikio_oauth.web.site import Site

__all__ = ["Subscriptions"]


class Subscriptions:
    """Starts a subscription; the Hub sends the browser back to ``connections/approve``."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._flow = LoginFlow(site)

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to subscribe."""
        visit = self.site.visit(request, "/subscriptions/new", "connections")
        prefix = scope_rules.bearer_prefix("Organization", identifier(request, "organization_id"))
        app_name, plan = identifier(request, "app_name"), identifier(request, "plan")
        scope = "subscription_create" + (f"_{app_name}" if app_name else "") + (f".{plan}" if plan else "")
        redirect_uri = single(request, "redirect_uri")
        if redirect_uri is not None and not visit.address.contains(redirect_uri):
            redirect_uri = None
        return await self._flow.start(visit, (f"{prefix}.{scope}",), redirect_uri)
