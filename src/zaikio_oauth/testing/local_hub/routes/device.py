"""The device flow (RFC 8628): a device requests a code, and a person enters it at ``/device``."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.pages import Pages, query_in
from zaikio_oauth.testing.local_hub.routes.accounts import AccountRoutes
from zaikio_oauth.testing.local_hub.routes.consent import ConsentPage
from zaikio_oauth.testing.local_hub.routes.oauth_request import OAuthRequest
from zaikio_oauth.testing.local_hub.routes.oauth_response import NO_STORE, Refusal
from zaikio_oauth.testing.local_hub.state.hub_state import HubState
from zaikio_oauth.testing.local_hub.state.requested_scopes import ScopeError, read_scopes

__all__ = ["DeviceRoutes"]


class DeviceRoutes:
    """The device authorization endpoint, and the page for the person who has the user code."""

    def __init__(self, state: HubState, pages: Pages, accounts: AccountRoutes, consent: ConsentPage) -> None:
        self._state = state
        self._pages = pages
        self._accounts = accounts
        self._consent = consent

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/oauth/device_authorizations/authorize", self.authorize, methods=["POST"]),
            Route("/device", self.show, methods=["GET"]),
            Route("/device", self.decide, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Issue a device code and a user code (RFC 8628 §3.2)."""
        try:
            form = await OAuthRequest.read(request)
            app = form.client(self._state, secret_required=False)
            requested = read_scopes(form.get("scope") or "", app.desired_scopes)
        except Refusal as refusal:
            return refusal.response()
        except ScopeError as error:
            return Refusal("invalid_scope", error.code).response()
        code = self._state.device_codes.start(
            app, requested, lifetime=self._state.device_code_lifetime, interval=self._state.device_interval
        )
        page = f"{str(request.base_url).rstrip('/')}/device"
        body = {
            "device_code": code.value,
            "user_code": code.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?{urlencode({'user_code': code.user_code})}",
            "expires_in": int(self._state.device_code_lifetime),
            "interval": int(self._state.device_interval),
        }
        return JSONResponse(body, headers=NO_STORE)

    async def show(self, request: Request) -> Response:
        """Ask for the user code, then for the account, then for consent."""
        query = request.query_params
        typed = query.get("user_code", "")
        code = self._state.device_codes.waiting(typed)
        if code is None:
            status_code = 404 if typed else 200
            return self._pages.show_form(request, "device.html", query, status_code=status_code, typed=typed, done=None)
        person = self._accounts.person(request)
        if person is None or query.get("prompt"):
            return self._accounts.ask_who(request, query, app=code.app)
        return self._consent.show(
            request,
            query,
            app=code.app,
            requested=code.requested,
            person=person,
            callback=None,
            user_code=code.user_code,
        )

    async def decide(self, request: Request) -> Response:
        """Store what the person has decided. The device receives it with its next request."""
        form = await request.form()
        query = query_in(form)
        person = self._accounts.person(request)
        code = self._state.device_codes.waiting(query.get("user_code", ""))
        if code is None or not self._state.browser_sessions.sent(request, form):
            return self._pages.expired(request)
        if form.get("decision") != "grant":
            self._state.device_codes.answer(code, "access_denied")
            return self._pages.show_form(request, "device.html", query, typed="", done="cancelled")
        if person is None:
            return self._pages.expired(request)
        try:
            answer = self._consent.granted(form, query, app=code.app, requested=code.requested, person=person)
        except ScopeError as error:
            return self._pages.refuse(request, "invalid_scope", error.code)
        self._state.device_codes.answer(code, answer)
        return self._pages.show_form(request, "device.html", query, typed="", done="granted")
