"""``/``: what this is, and who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.pages import Pages

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Home"]


class Home:
    """The page that somebody finds who opens the Hub's address."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._pages = Pages()

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/", self.show)]

    async def show(self, request: Request) -> Response:
        """The page."""
        hub = self._hub
        return self._pages.show(
            request,
            "home.html",
            language=request.query_params.get("lang"),
            apps=hub.apps,
            people=[(person, hub.organizations_of(person.id)) for person in hub.people],
            organizations=hub.organizations,
        )
