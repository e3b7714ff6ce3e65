"""The two steps of the redirect flow (RFC 6749 §4.1) that sessions, connections and subscriptions share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import (
    ConfigurationError,
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    OAuthError,
)
from zaikio_oauth.settings import ClientSettings
from zaikio_oauth.web import session as login
from zaikio_oauth.web.flow import LIFETIME, AuthorizationRequest, hub_parameters
from zaikio_oauth.web.flow_cookie import FlowCookies
from zaikio_oauth.web.hooks import Parts, called
from zaikio_oauth.web.messages import language_of
from zaikio_oauth.web.responses import not_found, private, redirect
from zaikio_oauth.web.return_address import Location, route_path, safe_origin
from zaikio_oauth.web.session import LoginError

__all__ = ["AuthorizationCode"]

Route = Literal["sessions", "connections"]
log = logging.getLogger("zaikio_oauth")

_ROUTE_NAMES = {"sessions": "zaikio_approve_session", "connections": "zaikio_approve_connection"}
_ERROR_CODE = frozenset(chr(code) for code in range(0x20, 0x7F)) - {'"', "\\"}
_LONGEST_CODE, _LONGEST_DESCRIPTION = 64, 300


class _Failure(Exception):
    """Ends a callback; carries what the person is told."""

    def __init__(self, code: str, description: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


class AuthorizationCode:
    """Sends the browser to the Hub and takes it back, for one ZaikioOAuth object and one kind of callback."""

    def __init__(self, parts: Parts, route: Route) -> None:
        self.parts = parts
        self._route: Route = route

    def client(self, request: Request) -> tuple[str, ClientSettings]:
        """The client whose path this is, else the default one; 404 when it is not configured for this."""
        name = path_client(request) or self.parts.current_client_name
        client = self.parts.settings.clients.get(name)
        if client is None:
            raise not_found("There is no such client.")
        if self._route == "connections" and not client.organization_scopes:
            raise not_found("This client has no organization connection.")
        return name, client

    # --- start (§4.1.1) -------------------------------------------------------------------------------

    def start(self, request: Request, scopes: tuple[str, ...], redirect_uri: str | None = None) -> Response:
        """Redirect to the Hub, asking for these scopes; the browser keeps what the callback will need."""
        name, _ = self.client(request)
        location = Location(request, self.parts.settings.base_url)
        origin = request.query_params.get("origin") or login.session_of(request).get(login.ORIGIN)
        if redirect_uri is None or not location.contains(redirect_uri):
            redirect_uri = location.url(self._approve_path(request))
        flow = AuthorizationRequest.start(
            route=self._route,
            client_name=name,
            path_client=path_client(request),
            redirect_uri=redirect_uri,
            scopes=scopes,
            origin=safe_origin(origin, location, location.path(self._ours(request))),
            state=request.query_params.get("state"),
            parameters=self._hub_parameters(request),
        )
        return self._send_to_hub(request, flow)

    def _hub_parameters(self, request: Request) -> tuple[tuple[str, str], ...]:
        parameters = hub_parameters(request.query_params.multi_items())
        if all(name != "lang" for name, _ in parameters) and (language := self._locale(request)):
            parameters = (*parameters, ("lang", language))
        return parameters

    def _send_to_hub(self, request: Request, flow: AuthorizationRequest) -> Response:
        client = self.parts.settings.client(flow.client_name)
        # Not RedirectResponse's own quoting: the query is complete, and every character of it counts.
        response = Response(status_code=302, headers={"Location": flow.url(self.parts.settings.host, client.client_id)})
        self._cookies(request).put(request, response, flow)
        return private(response)

    # --- approve (§4.1.2) -----------------------------------------------------------------------------

    async def approve(self, request: Request, accept: Callable[[Request, AccessToken], None]) -> Response:
        """Exchange the code, store the token, ``accept`` it, and go on to where the person came from."""
        self.client(request)
        state = _only(request, "state")
        started = self._cookies(request).find(request, self._route, path_client(request), state) if state else None
        try:
            flow = await self._authentic(request, state, started)
            try:
                token = await self._exchange(request, flow)
            except InvalidGrantError:
                return self._start_anew(request, flow)
            response = await self._succeed(request, flow, token, accept)
        except _Failure as failure:
            response = await self._fail(request, failure, started)
        if started:
            self._cookies(request).drop(response, started)
        return response

    async def _authentic(
        self, request: Request, state: str | None, started: AuthorizationRequest | None
    ) -> AuthorizationRequest:
        """The flow that this callback answers: one that this browser started, or one the app vouches for."""
        if started is not None:
            expires_at = datetime.fromtimestamp(started.started_at, UTC) + timedelta(seconds=LIFETIME)
            tokens = await self.parts.tokens()
            # By the verifier, which is fresh for each start; a state chosen by the app may come again.
            if await tokens.use_flow(started.code_verifier or started.state, expires_at=expires_at):
                return started
        elif state and (verify := self.parts.hooks.verify_state) and await called(verify, request, state):
            return self._minted_elsewhere(request, state)
        raise _Failure("invalid_state")

    def _minted_elsewhere(self, request: Request, state: str) -> AuthorizationRequest:
        """A flow that the app started without us; no ``code_verifier`` belongs to it."""
        name, client = self.client(request)
        location = Location(request, self.parts.settings.base_url)
        origin = login.session_of(request).get(login.ORIGIN)
        return AuthorizationRequest(
            route=self._route,
            client_name=name,
            path_client=path_client(request),
            redirect_uri=location.url(self._approve_path(request)),
            scopes=client.scopes_for("Person" if self._route == "sessions" else "Organization"),
            state=state,
            code_verifier=None,
            origin=safe_origin(origin, location, location.path(self._ours(request))),
            chosen_state=True,
        )

    async def _exchange(self, request: Request, flow: AuthorizationRequest) -> AccessToken:
        """The token for this callback's code; InvalidGrantError when the flow may be started anew."""
        if (error := _only(request, "error")) is not None:
            raise _Failure(*_readable(error, _only(request, "error_description")))
        if not (code := _only(request, "code")):
            raise _Failure("invalid_response", "The Hub sent neither a code nor an error.")
        issuance = await self.parts.issuance()
        try:
            return await issuance.exchange_code(
                flow.client_name,
                code=code,
                redirect_uri=flow.redirect_uri,
                code_verifier=flow.code_verifier,
                requested_scopes=flow.scopes,
            )
        except InvalidGrantError:
            raise
        except OAuthError as refusal:
            if refusal.code == "invalid_request":
                raise InvalidGrantError(refusal.code, refusal.description, refusal.status_code) from refusal
            raise _Failure(*_readable(refusal.code, refusal.description)) from refusal
        except HubUnavailableError as unavailable:
            raise _Failure("temporarily_unavailable", str(unavailable)) from unavailable
        except InvalidResponseError as invalid:
            raise _Failure("invalid_response", str(invalid)) from invalid

    def _start_anew(self, request: Request, flow: AuthorizationRequest) -> Response:
        again = flow.started_anew()
        if again is None:
            raise _Failure("invalid_grant")
        log.info("The Hub refused a code; fresh start %s.", again.attempt)
        response = self._send_to_hub(request, again)
        if again.state != flow.state:
            self._cookies(request).drop(response, flow)
        return response

    async def _succeed(
        self,
        request: Request,
        flow: AuthorizationRequest,
        token: AccessToken,
        accept: Callable[[Request, AccessToken], None],
    ) -> Response:
        session = login.session_of(request)
        accept(request, token)
        login.forget_error(request)
        session.pop(login.ORIGIN, None)
        target = None
        if self.parts.hooks.after_approve:
            target = await called(self.parts.hooks.after_approve, request, token, flow.origin)
        return self._go(request, target or flow.origin)

    async def _fail(self, request: Request, failure: _Failure, flow: AuthorizationRequest | None) -> Response:
        language = (flow.parameter("lang") if flow else None) or self._locale(request)
        error = LoginError(failure.code, failure.description, language)
        # The person cancelled on purpose and need not be told.
        if error.code != "access_denied":
            log.warning("A %s callback ended in %s: %s", self._route, error.code, error.description or error.message)
            login.keep_error(request, error)
        if self.parts.hooks.on_error is None:
            return self._go(request, None)
        target = await called(self.parts.hooks.on_error, request, error)
        if isinstance(target, Response) and target.status_code not in range(300, 400):
            # The hook has shown the error itself.
            login.forget_error(request)
        return self._go(request, target)

    # --- where things are -----------------------------------------------------------------------------

    def _go(self, request: Request, target: str | Response | None) -> Response:
        return go(request, self.parts, target)

    def _locale(self, request: Request) -> str | None:
        locale = self.parts.hooks.locale
        return (locale(request) if locale else None) or language_of(request)

    def _approve_path(self, request: Request) -> str:
        name = _ROUTE_NAMES[self._route]
        path = route_path(request, name, self.parts, path_client(request))
        if path is None:
            raise ConfigurationError(f"The app includes no route named {name}; include the {self._route} router too.")
        return path

    def _ours(self, request: Request) -> str:
        """The path that all of our routes are below; empty when that is the whole app."""
        ours = self._approve_path(request).removesuffix(f"/{self._route}/approve")
        client = path_client(request)
        return ours.removesuffix(f"/{client}") if client else ours

    def _cookies(self, request: Request) -> FlowCookies:
        location = Location(request, self.parts.settings.base_url)
        ours = self._ours(request)
        path = location.path(ours or f"/{path_client(request) or self._route}")
        return FlowCookies(self.parts.flow_cipher, path=path, secure=location.secure)


def path_client(request: Request) -> str | None:
    """The client's name where it stands in the path."""
    return request.path_params.get("client_name")


def go(request: Request, parts: Parts, target: str | Response | None) -> Response:
    """On to where a hook wants to, else home."""
    if isinstance(target, Response):
        return private(target)
    return redirect(target or Location(request, parts.settings.base_url).path("/"))


def _only(request: Request, name: str) -> str | None:
    """A parameter that may stand there once (RFC 6749 §3.1); None when it is missing, and when it is doubled."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 else None


def _readable(code: str, description: str | None) -> tuple[str, str | None]:
    """An error of the Hub's, which comes by way of the browser, in the characters and length that it may have."""
    if not code or len(code) > _LONGEST_CODE or not _ERROR_CODE.issuperset(code):
        return "invalid_response", "The Hub's error code is not one."
    if description:
        description = "".join(char for char in description if char.isprintable())[:_LONGEST_DESCRIPTION]
    return code, description or None
