"""Who sits in front of a local Hub: choosing an account, signing up, and proof that a form is theirs."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.directory import HubPerson
from zaikio_oauth.testing.local_hub.pages import Pages

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Accounts", "is_true", "query_in", "without"]

_SESSION = "local_hub_session"
_TOO_OLD = "This form is too old. Please start again."
# A form may send the browser back to these only.
_ASKERS = ("/oauth/authorize", "/device")


class Accounts:
    """The Hub's own sessions: a cookie that says nothing, and who it stands for."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._pages = Pages()
        self._csrf_secret = secrets.token_bytes(32)
        self._signed_in: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/session", self.sign_in, methods=["POST"]),
            Route("/sign-up", self.sign_up, methods=["POST"]),
        ]

    async def sign_in(self, request: Request) -> Response:
        """The person has said who they are."""
        form = await request.form()
        return self._signed_in_as(request, form, self._hub.person(_text(form, "person_id")))

    async def sign_up(self, request: Request) -> Response:
        """Somebody new."""
        form = await request.form()
        if not self.is_theirs(request, form):
            return self.refuse(request)
        first_name, name, email = (_text(form, field).strip() for field in ("first_name", "name", "email"))
        person = self._hub.add_person(first_name, name, email) if first_name and name and email else None
        return self._signed_in_as(request, form, person)

    def person(self, request: Request) -> HubPerson | None:
        """Who is signed in."""
        person_id = self._signed_in.get(request.cookies.get(_SESSION, ""))
        return self._hub.person(person_id) if person_id else None

    def is_theirs(self, request: Request, form: FormData) -> bool:
        """Whether a page of ours in this browser sent the form."""
        session = request.cookies.get(_SESSION)
        # Tabs that are opened in the same instant overwrite each other's session; the browser itself vouches then.
        if session and request.headers.get("sec-fetch-site") == "same-origin":
            return True
        given = _text(form, "csrf").encode()
        return session is not None and hmac.compare_digest(self._csrf(session).encode(), given)

    def show(
        self, request: Request, template: str, query: QueryParams, *, status_code: int = 200, **values: Any
    ) -> Response:
        """A page with a form on it, for the query that it is an answer to."""
        session = request.cookies.get(_SESSION) or secrets.token_urlsafe(24)
        response = self._pages.show(
            request,
            template,
            status_code,
            language=query.get("lang"),
            query=urlencode(query.multi_items()),
            csrf=self._csrf(session),
            **values,
        )
        response.set_cookie(_SESSION, session, httponly=True, samesite="lax")
        return response

    def ask_who(self, request: Request, query: QueryParams, **values: Any) -> Response:
        """Choose an account or create one; a ``login`` that the app suggests comes first, or into the form."""
        suggested = query.get("login", "")
        people = sorted(self._hub.people, key=lambda person: person.email != suggested)
        prefilled = {name: query.get(f"person[{name}]", "") for name in ("first_name", "name", "email")}
        if not any(person.email == suggested for person in people):
            prefilled["email"] = prefilled["email"] or suggested
        return self.show(
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

    def refuse(self, request: Request, error: str = "invalid_request", description: str = _TOO_OLD) -> Response:
        """The page for what cannot be told to the app."""
        return self._pages.show(request, "refused.html", 400, error=error, description=description)

    def _signed_in_as(self, request: Request, form: FormData, person: HubPerson | None) -> Response:
        asker = _text(form, "asker")
        if person is None or asker not in _ASKERS or not self.is_theirs(request, form):
            return self.refuse(request)
        self._signed_in[request.cookies[_SESSION]] = person.id
        # They have just said who they are, so they need not be asked to again.
        pairs = without(query_in(form), "force_login", "prompt", "show_signup")
        return RedirectResponse(f"{asker}?{urlencode(pairs)}", 303)

    def _csrf(self, session: str) -> str:
        return hmac.new(self._csrf_secret, session.encode(), sha256).hexdigest()


def query_in(form: FormData) -> QueryParams:
    """The query that a form of ours carries along."""
    return QueryParams(parse_qsl(_text(form, "request"), keep_blank_values=True))


def without(query: QueryParams, *names: str) -> list[tuple[str, str]]:
    """The query without these."""
    return [(name, value) for name, value in query.multi_items() if name not in names]


def is_true(query: QueryParams, name: str) -> bool:
    """Whether a switch of the query is on."""
    return query.get(name) in ("true", "1")


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
