"""Choosing an account and creating one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.pages import Pages, query_in
from zaikio_oauth.testing.local_hub.routes.page_query import is_true, without
from zaikio_oauth.testing.local_hub.state.directory import HubPerson
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["AccountRoutes"]

# The pages that a form may send the browser back to. Any other address would be an open redirect.
_ASKERS = ("/oauth/authorize", "/device")


class AccountRoutes:
    """The page on which a person says who they are, and the two forms on it."""

    def __init__(self, state: HubState, pages: Pages) -> None:
        self._state = state
        self._pages = pages

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/session", self.sign_in, methods=["POST"]),
            Route("/sign-up", self.sign_up, methods=["POST"]),
        ]

    async def sign_in(self, request: Request) -> Response:
        """Sign in the person whose account was chosen."""
        form = await request.form()
        return self._signed_in_as(request, form, self._state.person(_text(form, "person_id")))

    async def sign_up(self, request: Request) -> Response:
        """Create an account and sign its person in."""
        form = await request.form()
        if not self._state.browser_sessions.sent(request, form):
            return self._pages.expired(request)
        first_name, name, email = (_text(form, field).strip() for field in ("first_name", "name", "email"))
        person = self._state.add_person(first_name, name, email) if first_name and name and email else None
        return self._signed_in_as(request, form, person)

    def person(self, request: Request) -> HubPerson | None:
        """Return the person who is signed in."""
        person_id = self._state.browser_sessions.person_id(request)
        return self._state.person(person_id) if person_id else None

    def ask_who(self, request: Request, query: QueryParams, **values: Any) -> Response:
        """Return the page. The account of the app's ``login`` comes first, or its address is filled in."""
        suggested = query.get("login", "")
        people = sorted(self._state.people, key=lambda person: person.email != suggested)
        prefilled = {name: query.get(f"person[{name}]", "") for name in ("first_name", "name", "email")}
        if not any(person.email == suggested for person in people):
            prefilled["email"] = prefilled["email"] or suggested
        return self._pages.show_form(
            request,
            "account.html",
            query,
            people=people,
            current=self.person(request),
            prefilled=prefilled,
            sign_up=query.get("signup") != "false",
            sign_up_first=is_true(query, "show_signup") or any(prefilled.values()),
            asker=request.url.path,
            **values,
        )

    def _signed_in_as(self, request: Request, form: FormData, person: HubPerson | None) -> Response:
        asker = _text(form, "asker")
        if person is None or asker not in _ASKERS or not self._state.browser_sessions.sent(request, form):
            return self._pages.expired(request)
        self._state.browser_sessions.sign_in(request, person.id)
        # They have just said who they are, so they are not asked again.
        pairs = without(query_in(form), "force_login", "prompt", "show_signup")
        return RedirectResponse(f"{asker}?{urlencode(pairs)}", 303)


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
