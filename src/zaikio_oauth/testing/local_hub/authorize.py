"""``/oauth/authorize`` and the pages around it: choose an account, grant or cancel."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.directory import HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.grants import Bearer, Code
from zaikio_oauth.testing.local_hub.pages import Pages
from zaikio_oauth.testing.local_hub.requested_scopes import RequestedScopes, ScopeError, read_scopes

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Authorize"]

_SESSION = "local_hub_session"
_SINGLE = ("client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method")


class _Refused(Exception):
    """Ends a request; ``redirect`` tells whether the app may be told (RFC 6749 §4.1.2.1)."""

    def __init__(self, error: str, description: str = "", *, redirect: bool = True) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.redirect = redirect


@dataclass(frozen=True, slots=True)
class _Wish:
    """A valid authorization request."""

    app: HubApp
    query: QueryParams
    requested: RequestedScopes

    @property
    def redirect_uri(self) -> str:
        return self.query["redirect_uri"]

    def answer(self, **parameters: str) -> Response:
        """Back to the app."""
        if "state" in self.query:
            parameters["state"] = self.query["state"]
        joint = "&" if urlsplit(self.redirect_uri).query else "?"
        return RedirectResponse(f"{self.redirect_uri}{joint}{urlencode(parameters)}", 302)


class Authorize:
    """The authorization endpoint (RFC 6749 §3.1, RFC 7636 §4.4) with its consent page."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._pages = Pages()
        self._csrf_secret = secrets.token_bytes(32)
        self._signed_in: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/", self.home),
            Route("/oauth/authorize", self.show, methods=["GET"]),
            Route("/oauth/authorize", self.decide, methods=["POST"]),
            Route("/session", self.sign_in, methods=["POST"]),
            Route("/sign-up", self.sign_up, methods=["POST"]),
        ]

    async def home(self, request: Request) -> Response:
        """What this is."""
        hub = self._hub
        return self._pages.show(request, "home.html", apps=hub.apps, people=hub.people, organizations=hub.organizations)

    async def show(self, request: Request) -> Response:
        """The page that asks; or at once the answer, where nothing is to be asked."""
        try:
            wish = self._wish(request.query_params)
        except _Refused as refused:
            return self._refuse(request, request.query_params, refused)
        if self._hub.consent == "cancel":
            return wish.answer(error="access_denied", error_description="The person cancelled.")
        if self._hub.consent is not None:
            person_id, organization_id = self._hub.consent
            return self._grant(request, wish, self._hub.person(person_id), organization_id)
        person = self._person(request)
        if person is None or wants_login(wish.query):
            return self._ask_who(request, wish, person)
        if self._granted_before(wish, person):
            return self._grant(request, wish, person, None)
        return self._ask(request, wish, person)

    async def decide(self, request: Request) -> Response:
        """The person has granted or cancelled."""
        form = await request.form()
        query = QueryParams(parse_qsl(str(form.get("request", "")), keep_blank_values=True))
        try:
            wish = self._wish(query)
            person = self._person(request)
            if person is None or not self._csrf_is_right(request, str(form.get("csrf", ""))):
                raise _Refused("invalid_request", "This form is too old. Please start again.", redirect=False)
            if form.get("decision") != "grant":
                return wish.answer(error="access_denied", error_description="The person cancelled.")
            if plan := form.get("plan"):
                wish = _with_plan(wish, str(plan))
            return self._grant(request, wish, person, str(form.get("organization_id") or "") or None)
        except _Refused as refused:
            return self._refuse(request, query, refused)

    async def sign_in(self, request: Request) -> Response:
        """The person has said who they are."""
        form = await request.form()
        person = self._hub.person(str(form.get("person_id", "")))
        return self._signed_in_as(request, person, str(form.get("request", "")), str(form.get("csrf", "")))

    async def sign_up(self, request: Request) -> Response:
        """Somebody new."""
        form = await request.form()
        first_name, name, email = (str(form.get(field, "")).strip() for field in ("first_name", "name", "email"))
        person = self._hub.add_person(first_name, name, email) if first_name and name and email else None
        return self._signed_in_as(request, person, str(form.get("request", "")), str(form.get("csrf", "")))

    # --- the request --------------------------------------------------------------------------------------

    def _wish(self, query: QueryParams) -> _Wish:
        app = self._hub.app_of(query.get("client_id", ""))
        if app is None:
            raise _Refused("invalid_client", "There is no app with this client_id.", redirect=False)
        if len(query.getlist("redirect_uri")) != 1 or query["redirect_uri"] not in app.redirect_uris:
            description = f"This redirect_uri is not registered for the app: {query.get('redirect_uri', '(none)')}"
            raise _Refused("invalid_redirect_uri", description, redirect=False)
        for name in _SINGLE:
            if len(query.getlist(name)) > 1:
                raise _Refused("invalid_request", f"{name} is there more than once")
        if query.get("response_type") != "code":
            raise _Refused("unsupported_response_type", "response_type has to be code")
        self._check_challenge(app, query)
        try:
            return _Wish(app, query, read_scopes(query.get("scope", ""), app.desired_scopes))
        except ScopeError as error:
            raise _Refused("invalid_scope", f"{error.code}: {error.scope}" if error.scope else error.code) from None

    def _check_challenge(self, app: HubApp, query: QueryParams) -> None:
        challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
        if challenge is None and method is None:
            if app.client_secret is None:
                raise _Refused("invalid_request", "code_challenge is missing")
            return
        if method != "S256":
            raise _Refused("invalid_request", "code_challenge_method has to be S256")
        if challenge is None or len(challenge) != 43:
            raise _Refused("invalid_request", "code_challenge is not one")

    def _refuse(self, request: Request, query: QueryParams, refused: _Refused) -> Response:
        if not refused.redirect:
            return self._pages.show(request, "refused.html", 400, error=refused.error, description=refused.description)
        parameters = {"error": refused.error, "error_description": refused.description}
        if len(query.getlist("state")) == 1:
            parameters["state"] = query["state"]
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(parameters)}", 302)

    # --- the pages ----------------------------------------------------------------------------------------

    def _ask_who(self, request: Request, wish: _Wish, current: HubPerson | None) -> Response:
        suggested = wish.query.get("login", "")
        people = sorted(self._hub.people, key=lambda person: person.email != suggested)
        prefilled = {name: wish.query.get(f"person[{name}]", "") for name in ("first_name", "name", "email")}
        sign_up_first = wish.query.get("show_signup") in ("true", "1") or any(prefilled.values())
        return self._page(
            request,
            wish,
            "account.html",
            people=people,
            current=current,
            prefilled=prefilled,
            sign_up_first=sign_up_first,
            sign_up=wish.query.get("signup") != "false",
        )

    def _ask(self, request: Request, wish: _Wish, person: HubPerson) -> Response:
        requested = wish.requested
        organizations: list[HubOrganization] = []
        if requested.needs_organization:
            organizations = self._hub.organizations_of(person.id)
            if requested.organization_id:
                organizations = [each for each in organizations if each.id == requested.organization_id]
        return self._page(
            request,
            wish,
            "consent.html",
            person=person,
            requested=requested,
            organizations=organizations,
            new_organization=wish.query.get("organization[name]"),
            confirm_email=wish.query.get("prompt_email_confirmation") in ("true", "1"),
            switch=urlencode([*_without(wish.query, "prompt"), ("prompt", "select_account")]),
        )

    def _page(self, request: Request, wish: _Wish, template: str, **values: Any) -> Response:
        session = request.cookies.get(_SESSION) or secrets.token_urlsafe(24)
        response = self._pages.show(
            request,
            template,
            language=wish.query.get("lang"),
            app=wish.app,
            request_query=urlencode(wish.query.multi_items()),
            csrf=self._csrf(session),
            callback=f"{urlsplit(wish.redirect_uri).scheme}://{urlsplit(wish.redirect_uri).netloc}",
            **values,
        )
        response.set_cookie(_SESSION, session, httponly=True, samesite="lax")
        return response

    # --- who is here ----------------------------------------------------------------------------------------

    def _person(self, request: Request) -> HubPerson | None:
        person_id = self._signed_in.get(request.cookies.get(_SESSION, ""))
        return self._hub.person(person_id) if person_id else None

    def _csrf(self, session: str) -> str:
        return hmac.new(self._csrf_secret, session.encode(), sha256).hexdigest()

    def _csrf_is_right(self, request: Request, given: str) -> bool:
        session = request.cookies.get(_SESSION)
        # Tabs that are opened in the same instant overwrite each other's session; the browser itself vouches then.
        if session and request.headers.get("sec-fetch-site") == "same-origin":
            return True
        return bool(session) and hmac.compare_digest(self._csrf(session or "").encode(), given.encode())

    def _signed_in_as(self, request: Request, person: HubPerson | None, query: str, csrf: str) -> Response:
        if person is None or not self._csrf_is_right(request, csrf):
            return self._pages.show(
                request, "refused.html", 400, error="invalid_request", description="Please start again."
            )
        self._signed_in[request.cookies[_SESSION]] = person.id
        # They have just logged in, so they need not be asked to again.
        pairs = _without(QueryParams(query), "force_login", "prompt", "show_signup")
        return RedirectResponse(f"/oauth/authorize?{urlencode(pairs)}", 303)

    # --- the answer -----------------------------------------------------------------------------------------

    def _granted_before(self, wish: _Wish, person: HubPerson) -> bool:
        if wish.requested.needs_organization or wish.requested.subscription is not None:
            return False
        granted = self._hub.grants.granted(wish.app.client_id, Bearer("Person", person.id))
        return set(wish.requested.scopes) <= granted

    def _grant(self, request: Request, wish: _Wish, person: HubPerson | None, organization_id: str | None) -> Response:
        try:
            bearer = self._bearer(wish.requested, person, organization_id)
        except ScopeError as error:
            return wish.answer(error="invalid_scope", error_description=error.code)
        code = Code(
            value=secrets.token_urlsafe(24),
            client_id=wish.app.client_id,
            redirect_uri=wish.redirect_uri,
            bearer=bearer,
            scopes=self._hub.granted_part(wish.requested.scopes),
            code_challenge=wish.query.get("code_challenge"),
            expires_at=self._hub.clock() + self._hub.code_lifetime,
        )
        self._hub.grants.issue_code(code)
        return wish.answer(code=code.value)

    def _bearer(self, requested: RequestedScopes, person: HubPerson | None, organization_id: str | None) -> Bearer:
        if person is None or requested.person_id not in (None, person.id):
            raise ScopeError("unpermitted_bearer_id")
        if not requested.needs_organization:
            return Bearer("Person", person.id)
        chosen = requested.organization_id or organization_id or next(iter(dict(person.memberships)), "")
        roles = person.roles_in(chosen)
        if self._hub.organization(chosen) is None:
            raise ScopeError("bearer_does_not_exist")
        if roles is None:
            raise ScopeError("unpermitted_bearer_id")
        return (
            Bearer("Organization", chosen, person.id, roles) if requested.on_behalf else Bearer("Organization", chosen)
        )


def challenge_of(code_verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 §4.6)."""
    return base64.urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


def wants_login(query: QueryParams) -> bool:
    """Whether the app wants the person to say again who they are."""
    return query.get("force_login") in ("true", "1") or query.get("prompt") in ("login", "select_account")


def _without(query: QueryParams, *names: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in query.multi_items() if name not in names]


def _with_plan(wish: _Wish, plan: str) -> _Wish:
    if plan not in wish.app.plans:
        raise _Refused("invalid_scope", "There is no such plan.")
    scopes = tuple(
        f"{scope}.{plan}" if scope.startswith("subscription_create") and "." not in scope else scope
        for scope in wish.requested.scopes
    )
    return replace(wish, requested=replace(wish.requested, scopes=scopes))
