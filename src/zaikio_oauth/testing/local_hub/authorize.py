"""``/oauth/authorize``: the authorization endpoint, strict about what it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.accounts import Accounts, is_true, query_in
from zaikio_oauth.testing.local_hub.consent import ask_for_consent, bearer_of, consented
from zaikio_oauth.testing.local_hub.directory import HubApp, HubPerson
from zaikio_oauth.testing.local_hub.grants import Bearer
from zaikio_oauth.testing.local_hub.requested_scopes import RequestedScopes, ScopeError, read_scopes

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Authorize"]

_SINGLE = ("response_type", "scope", "state", "code_challenge", "code_challenge_method")
# RFC 7636 §4.2: the base64url of a SHA-256, without padding.
_CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
_CANCELLED = {"error": "access_denied", "error_description": "The person cancelled."}


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

    def answer(self, **parameters: str) -> Response:
        """Back to the app."""
        return _back_to_app(self.query, parameters)


class Authorize:
    """The authorization endpoint (RFC 6749 §3.1, RFC 7636 §4.4)."""

    def __init__(self, hub: LocalHub, accounts: Accounts) -> None:
        self._hub = hub
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/oauth/authorize", self.show, methods=["GET"]),
            Route("/oauth/authorize", self.decide, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The page that asks; or at once the answer, where nothing is to be asked."""
        try:
            wish = self._wish(request.query_params)
        except _Refused as refused:
            return self._refuse(request, request.query_params, refused)
        if self._hub.consent == "cancel":
            return wish.answer(**_CANCELLED)
        if self._hub.consent is not None:
            person_id, organization_id = self._hub.consent
            return self._grant_unasked(wish, self._hub.person(person_id), organization_id)
        person = self._accounts.person(request)
        if person is None or _wants_login(wish.query):
            return self._accounts.ask_who(request, wish.query, app=wish.app)
        if self._granted_before(wish, person):
            return self._grant_unasked(wish, person, None)
        callback = urlsplit(wish.query["redirect_uri"])
        return ask_for_consent(
            self._hub,
            self._accounts,
            request,
            wish.query,
            app=wish.app,
            requested=wish.requested,
            person=person,
            callback=f"{callback.scheme}://{callback.netloc}",
            user_code=None,
        )

    async def decide(self, request: Request) -> Response:
        """The person has granted or cancelled."""
        form = await request.form()
        query = query_in(form)
        try:
            wish = self._wish(query)
            if not self._accounts.is_theirs(request, form):
                return self._accounts.refuse(request)
            if form.get("decision") != "grant":
                return wish.answer(**_CANCELLED)
            person = self._accounts.person(request)
            if person is None:
                return self._accounts.refuse(request)
            bearer, scopes = consented(self._hub, form, query, app=wish.app, requested=wish.requested, person=person)
            return self._grant(wish, bearer, scopes)
        except ScopeError as error:
            return self._refuse(request, query, _Refused("invalid_scope", error.code))
        except _Refused as refused:
            return self._refuse(request, query, refused)

    # --- the request --------------------------------------------------------------------------------------

    def _wish(self, query: QueryParams) -> _Wish:
        """The request, checked; who cannot be trusted with a redirect is found out first."""
        app = self._hub.app_of(query.get("client_id", ""))
        if app is None or len(query.getlist("client_id")) != 1:
            raise _Refused("invalid_client", "There is no app with this client_id.", redirect=False)
        if len(query.getlist("redirect_uri")) != 1 or query["redirect_uri"] not in app.redirect_uris:
            description = f"This redirect_uri is not registered for the app: {query.get('redirect_uri', '(none)')}"
            raise _Refused("invalid_redirect_uri", description, redirect=False)
        for name in _SINGLE:
            if len(query.getlist(name)) > 1:
                raise _Refused("invalid_request", f"{name} is there more than once")
        if query.get("response_type") != "code":
            raise _Refused("unsupported_response_type", "response_type has to be code")
        _check_challenge(app, query)
        try:
            return _Wish(app, query, read_scopes(query.get("scope", ""), app.desired_scopes))
        except ScopeError as error:
            raise _Refused("invalid_scope", f"{error.code}: {error.scope}" if error.scope else error.code) from None

    def _refuse(self, request: Request, query: QueryParams, refused: _Refused) -> Response:
        if not refused.redirect:
            return self._accounts.refuse(request, refused.error, refused.description)
        return _back_to_app(query, {"error": refused.error, "error_description": refused.description})

    # --- the answer -----------------------------------------------------------------------------------------

    def _granted_before(self, wish: _Wish, person: HubPerson) -> bool:
        """Whether there is nothing new to ask. For organizations there is: the person may mean another one."""
        if wish.requested.needs_organization or wish.query.get("prompt") == "consent":
            return False
        if is_true(wish.query, "prompt_email_confirmation") or wish.requested.person_id not in (None, person.id):
            return False
        granted = self._hub.grants.granted(wish.app.client_id, Bearer("Person", person.id))
        return set(wish.requested.scopes) <= granted

    def _grant_unasked(self, wish: _Wish, person: HubPerson | None, organization_id: str | None) -> Response:
        try:
            bearer = bearer_of(self._hub, wish.requested, person, organization_id)
        except ScopeError as error:
            return wish.answer(error="invalid_scope", error_description=error.code)
        return self._grant(wish, bearer, self._hub.granted_part(wish.requested.scopes))

    def _grant(self, wish: _Wish, bearer: Bearer, scopes: tuple[str, ...]) -> Response:
        code = self._hub.grants.issue_code(
            wish.app,
            bearer,
            scopes,
            redirect_uri=wish.query["redirect_uri"],
            code_challenge=wish.query.get("code_challenge"),
            lifetime=self._hub.code_lifetime,
        )
        return wish.answer(code=code.value)


def _check_challenge(app: HubApp, query: QueryParams) -> None:
    challenge, method = query.get("code_challenge"), query.get("code_challenge_method")
    if challenge is None and method is None:
        if app.client_secret is None:
            raise _Refused("invalid_request", "code_challenge is missing")
        return
    # RFC 7636 §4.3: without a method it would be "plain", which RFC 9700 §2.1.1 rules out.
    if method != "S256":
        raise _Refused("invalid_request", "code_challenge_method has to be S256")
    if challenge is None or not _CHALLENGE.match(challenge):
        raise _Refused("invalid_request", "code_challenge is not one")


def _wants_login(query: QueryParams) -> bool:
    """Whether the app wants the person to say again who they are."""
    return is_true(query, "force_login") or query.get("prompt") in ("login", "select_account")


def _back_to_app(query: QueryParams, parameters: dict[str, str]) -> Response:
    """A redirect with the state as it came; one that came twice is none."""
    if len(query.getlist("state")) == 1:
        parameters = parameters | {"state": query["state"]}
    redirect_uri = query["redirect_uri"]
    joint = "&" if urlsplit(redirect_uri).query else "?"
    return RedirectResponse(f"{redirect_uri}{joint}{urlencode(parameters)}", 302)
