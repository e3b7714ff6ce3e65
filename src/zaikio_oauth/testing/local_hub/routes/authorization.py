"""``/oauth/authorize``: the authorization endpoint (RFC 6749 §3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from zaikio_oauth.settings import http_url
from zaikio_oauth.testing.local_hub.pages import Pages, query_in
from zaikio_oauth.testing.local_hub.routes.accounts import AccountRoutes
from zaikio_oauth.testing.local_hub.routes.consent import ConsentPage
from zaikio_oauth.testing.local_hub.routes.page_query import is_true
from zaikio_oauth.testing.local_hub.state.bearer import Bearer, bearer_for
from zaikio_oauth.testing.local_hub.state.directory import HubApp, HubPerson
from zaikio_oauth.testing.local_hub.state.hub_state import HubState
from zaikio_oauth.testing.local_hub.state.requested_scopes import RequestedScopes, ScopeError, read_scopes

__all__ = ["AuthorizationRoutes"]

# RFC 6749 §3.1: "Request and response parameters MUST NOT be included more than once."
_SINGLE = ("response_type", "scope", "state", "code_challenge", "code_challenge_method")
# RFC 7636 §4.2: the base64url of a SHA-256, without padding.
_CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
_CALLBACK = re.compile(r"(?P<prefix>(/[A-Za-z0-9._~-]+)*)/(sessions|connections)/approve")
_CANCELLED = {"error": "access_denied", "error_description": "The person cancelled."}


class _Refused(Exception):
    """The request is refused; with ``redirect`` the error is sent to the app (RFC 6749 §4.1.2.1).

    ``options``: those of ``zaikio-oauth hub`` with which it would not be.
    """

    def __init__(self, error: str, description: str = "", *, redirect: bool = True, options: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.redirect = redirect
        self.options = options


@dataclass(frozen=True, slots=True)
class _AuthorizationRequest:
    """A valid authorization request."""

    app: HubApp
    query: QueryParams
    requested: RequestedScopes

    def answer(self, **parameters: str) -> Response:
        """Redirect to the app with these parameters."""
        return _back_to_app(self.query, parameters)


class AuthorizationRoutes:
    """Refuses everything that RFC 6749, RFC 7636 or the Hub rules out; otherwise asks the person."""

    def __init__(self, state: HubState, pages: Pages, accounts: AccountRoutes, consent: ConsentPage) -> None:
        self._state = state
        self._pages = pages
        self._accounts = accounts
        self._consent = consent

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/oauth/authorize", self.show, methods=["GET"]),
            Route("/oauth/authorize", self.decide, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Ask the person, or redirect at once if there is nothing to ask."""
        try:
            asked = self._validated(request.query_params)
        except _Refused as refused:
            return self._refuse(request, request.query_params, refused)
        if self._state.consent == "cancel":
            return asked.answer(**_CANCELLED)
        if self._state.consent is not None:
            person_id, organization_id = self._state.consent
            return self._grant_without_page(asked, self._state.person(person_id), organization_id)
        person = self._accounts.person(request)
        if person is None or _wants_login(asked.query):
            return self._accounts.ask_who(request, asked.query, app=asked.app)
        if self._is_granted_before(asked, person):
            return self._grant_without_page(asked, person, None)
        callback = urlsplit(asked.query["redirect_uri"])
        return self._consent.show(
            request,
            asked.query,
            app=asked.app,
            requested=asked.requested,
            person=person,
            callback=f"{callback.scheme}://{callback.netloc}",
            user_code=None,
        )

    async def decide(self, request: Request) -> Response:
        """Redirect with what the person has decided."""
        form = await request.form()
        query = query_in(form)
        try:
            asked = self._validated(query)
            if not self._state.browser_sessions.sent(request, form):
                return self._pages.expired(request)
            if form.get("decision") != "grant":
                return asked.answer(**_CANCELLED)
            person = self._accounts.person(request)
            if person is None:
                return self._pages.expired(request)
            bearer, scopes = self._consent.granted(form, query, app=asked.app, requested=asked.requested, person=person)
            return self._grant(asked, bearer, scopes)
        except ScopeError as error:
            return self._refuse(request, query, _Refused("invalid_scope", error.code))
        except _Refused as refused:
            return self._refuse(request, query, refused)

    # --- the request --------------------------------------------------------------------------------------

    def _validated(self, query: QueryParams) -> _AuthorizationRequest:
        # RFC 6749 §4.1.2.1: never redirect to an unregistered address, so the app and its address come first.
        app = self._state.app_of(query.get("client_id", ""))
        if app is None or len(query.getlist("client_id")) != 1:
            raise _Refused("invalid_client", "There is no app with this client_id.", redirect=False)
        if len(query.getlist("redirect_uri")) != 1 or query["redirect_uri"] not in app.redirect_uris:
            description = f"This redirect_uri is not registered for the app: {query.get('redirect_uri', '(none)')}"
            options = _options_for(query.get("redirect_uri", ""), app)
            raise _Refused("invalid_redirect_uri", description, redirect=False, options=options)
        for name in _SINGLE:
            if len(query.getlist(name)) > 1:
                raise _Refused("invalid_request", f"{name} must not be included more than once")
        if query.get("response_type") != "code":
            raise _Refused("unsupported_response_type", "response_type must be code")
        _check_challenge(app, query)
        try:
            return _AuthorizationRequest(app, query, read_scopes(query.get("scope", ""), app.desired_scopes))
        except ScopeError as error:
            raise _Refused("invalid_scope", f"{error.code}: {error.scope}" if error.scope else error.code) from None

    def _refuse(self, request: Request, query: QueryParams, refused: _Refused) -> Response:
        if not refused.redirect:
            return self._pages.refuse(request, refused.error, refused.description, options=refused.options)
        return _back_to_app(query, {"error": refused.error, "error_description": refused.description})

    # --- the response -------------------------------------------------------------------------------------

    def _is_granted_before(self, asked: _AuthorizationRequest, person: HubPerson) -> bool:
        # An organization has to be chosen anew each time: the person may mean another one.
        if asked.requested.needs_organization or asked.query.get("prompt") == "consent":
            return False
        if is_true(asked.query, "prompt_email_confirmation") or asked.requested.person_id not in (None, person.id):
            return False
        granted = self._state.grants.granted(asked.app.client_id, Bearer("Person", person.id))
        return set(asked.requested.scopes) <= granted

    def _grant_without_page(
        self, asked: _AuthorizationRequest, person: HubPerson | None, organization_id: str | None
    ) -> Response:
        try:
            bearer = bearer_for(self._state, asked.requested, person, organization_id)
        except ScopeError as error:
            return asked.answer(error="invalid_scope", error_description=error.code)
        return self._grant(asked, bearer, self._state.granted_part(asked.requested.scopes))

    def _grant(self, asked: _AuthorizationRequest, bearer: Bearer, scopes: tuple[str, ...]) -> Response:
        code = self._state.grants.issue_code(
            asked.app,
            bearer,
            scopes,
            redirect_uri=asked.query["redirect_uri"],
            code_challenge=asked.query.get("code_challenge"),
            lifetime=self._state.code_lifetime,
        )
        return asked.answer(code=code.value)


def _options_for(redirect_uri: str, app: HubApp) -> str:
    """Return the options with which the Hub would know this callback; empty if it is none of our router's."""
    if (asked := _callback(redirect_uri, app)) is None:
        return ""
    known = [each for each in (_callback(uri, app) for uri in app.redirect_uris) if each]
    options = [f"--app-url {asked[0]}"] if all(asked[0] != origin for origin, _ in known) else []
    if all(asked[1] != prefix for _, prefix in known):
        options.append("--prefix " + (asked[1] or '""'))
    return " ".join(options)


def _callback(uri: str, app: HubApp) -> tuple[str, str] | None:
    """Return the address of the app and the prefix of its router; None if it is no callback of our router."""
    try:
        parts = urlsplit(uri)
        origin = http_url(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return None
    path = _CALLBACK.fullmatch(parts.path)
    if path is None or parts.query or parts.fragment:
        return None
    return origin, path["prefix"].removesuffix(f"/{app.name}")


def _check_challenge(app: HubApp, query: QueryParams) -> None:
    challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
    if challenge is None and method is None:
        if app.client_secret is None:
            raise _Refused("invalid_request", "code_challenge is missing")
        return
    # RFC 7636 §4.3: the default method is "plain", which RFC 9700 §2.1.1 advises against.
    if method != "S256":
        raise _Refused("invalid_request", "code_challenge_method must be S256")
    if challenge is None or not _CHALLENGE.match(challenge):
        raise _Refused("invalid_request", "code_challenge must be a base64url-encoded SHA-256 hash")


def _wants_login(query: QueryParams) -> bool:
    """True if the app wants the person to say again who they are."""
    return is_true(query, "force_login") or query.get("prompt") in ("login", "select_account")


def _back_to_app(query: QueryParams, parameters: dict[str, str]) -> Response:
    """Redirect with the ``state`` of the request, unless it was included more than once."""
    if len(query.getlist("state")) == 1:
        parameters = parameters | {"state": query["state"]}
    redirect_uri = query["redirect_uri"]
    separator = "&" if urlsplit(redirect_uri).query else "?"
    return RedirectResponse(f"{redirect_uri}{separator}{urlencode(parameters)}", 302)
