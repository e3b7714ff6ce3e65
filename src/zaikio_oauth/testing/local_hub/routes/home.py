"""``/``: the home page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.pages import Pages
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["HomeRoutes"]


class HomeRoutes:
    """The page that explains what this Hub is and lists the apps, people and organizations."""

    def __init__(self, state: HubState, pages: Pages) -> None:
        self._state = state
        self._pages = pages

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/", self.show)]

    async def show(self, request: Request) -> Response:
        """Return the page."""
        directory = self._state
        return self._pages.show(
            request,
            "home.html",
            language=request.query_params.get("lang"),
            apps=directory.apps,
            kept=directory.keeps_state,
            people=[(person, directory.organizations_of(person.id)) for person in directory.people],
            organizations=directory.organizations,
        )
