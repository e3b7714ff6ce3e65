"""The device flow (RFC 8628): a device asks for a code, and a person types it in at ``/device``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.accounts import Accounts, query_in
from zaikio_oauth.testing.local_hub.consent import ask_for_consent, consented
from zaikio_oauth.testing.local_hub.oauth_request import NO_STORE, OAuthRequest, Refusal
from zaikio_oauth.testing.local_hub.requested_scopes import ScopeError, read_scopes

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Device"]


class Device:
    """The device authorization endpoint, and the pages of the person who has the code."""

    def __init__(self, hub: LocalHub, accounts: Accounts) -> None:
        self._hub = hub
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/oauth/device_authorizations/authorize", self.authorize, methods=["POST"]),
            Route("/device", self.show, methods=["GET"]),
            Route("/device", self.decide, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Codes for a device (RFC 8628 §3.2)."""
        try:
            form = await OAuthRequest.read(request)
            app = form.client(self._hub, secret_required=False)
            requested = read_scopes(form.get("scope") or "", app.desired_scopes)
        except Refusal as refusal:
            return refusal.response()
        except ScopeError as error:
            return Refusal("invalid_scope", error.code).response()
        code = self._hub.device_codes.start(
            app, requested, lifetime=self._hub.device_code_lifetime, interval=self._hub.device_interval
        )
        page = f"{str(request.base_url).rstrip('/')}/device"
        body = {
            "device_code": code.value,
            "user_code": code.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?{urlencode({'user_code': code.user_code})}",
            "expires_in": int(self._hub.device_code_lifetime),
            "interval": int(self._hub.device_interval),
        }
        return JSONResponse(body, headers=NO_STORE)

    async def show(self, request: Request) -> Response:
        """Where to type the code; with the code, who and what."""
        query = request.query_params
        typed = query.get("user_code", "")
        code = self._hub.device_codes.waiting(typed)
        if code is None:
            status_code = 404 if typed else 200
            return self._accounts.show(request, "device.html", query, status_code=status_code, typed=typed, done=None)
        person = self._accounts.person(request)
        if person is None or query.get("prompt"):
            return self._accounts.ask_who(request, query, app=code.app)
        return ask_for_consent(
            self._hub,
            self._accounts,
            request,
            query,
            app=code.app,
            requested=code.requested,
            person=person,
            callback=None,
            user_code=code.user_code,
        )

    async def decide(self, request: Request) -> Response:
        """The person has granted or cancelled; the device learns it when it asks next."""
        form = await request.form()
        query = query_in(form)
        person = self._accounts.person(request)
        code = self._hub.device_codes.waiting(query.get("user_code", ""))
        if code is None or not self._accounts.is_theirs(request, form):
            return self._accounts.refuse(request)
        if form.get("decision") != "grant":
            self._hub.device_codes.answer(code, "access_denied")
            return self._accounts.show(request, "device.html", query, typed="", done="cancelled")
        if person is None:
            return self._accounts.refuse(request)
        try:
            answer = consented(self._hub, form, query, app=code.app, requested=code.requested, person=person)
        except ScopeError as error:
            return self._accounts.refuse(request, "invalid_scope", error.code)
        self._hub.device_codes.answer(code, answer)
        return self._accounts.show(request, "device.html", query, typed="", done="granted")
