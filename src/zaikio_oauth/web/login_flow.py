"""The two steps of the authorization code grant (RFC 6749 §4.1), shared by sessions, connections and subscriptions."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import (
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    OAuthError,
    ZaikioOAuthError,
)
from zaikio_oauth.web.flow import Flow, generate_state, hub_parameters, usable_state
from zaikio_oauth.web.hooks import called
from zaikio_oauth.web.responses import leave, private
from zaikio_oauth.web.session import LoginError, LoginSession
from zaikio_oauth.web.site import Site, Visit

__all__ = ["LoginFlow"]

log = logging.getLogger("zaikio_oauth")

_ERROR_CODE = frozenset(chr(code) for code in range(0x20, 0x7F)) - {'"', "\\"}
_MAX_CODE_LENGTH, _MAX_DESCRIPTION_LENGTH = 64, 300


class _LoginFailed(Exception):
    """Ends a callback with an error for the person."""

    def __init__(self, code: str, description: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


class LoginFlow:
    """Sends the browser to the Hub and takes it back."""

    def __init__(self, site: Site) -> None:
        self._site = site

    # --- authorization request (§4.1.1) -----------------------------------------------------------------

    async def start(self, visit: Visit, scopes: tuple[str, ...], redirect_uri: str | None = None) -> Response:
        """Redirect to the Hub, asking for these scopes; the browser keeps what the callback needs."""
        query = visit.request.query_params
        parameters = hub_parameters(query.multi_items())
        if "lang" not in dict(parameters) and (language := await self._site.language(visit.request)):
            parameters = (*parameters, ("lang", language))
        chosen = usable_state(query.get("state"))
        flow = Flow(
            callback=visit.callback,
            client_name=visit.client_name,
            path_client=visit.path_client,
            redirect_uri=redirect_uri or visit.redirect_uri,
            scopes=scopes,
            origin=visit.safe_origin(query.get("origin") or LoginSession(visit.request).origin),
            state=chosen or generate_state(),
            chosen_state=chosen is not None,
            parameters=parameters,
        )
        return self._redirect_to_hub(visit, flow)

    def _redirect_to_hub(self, visit: Visit, flow: Flow) -> Response:
        settings = self._site.runtime.settings
        # The client with which the flow was started; that of this request may be another one by now.
        url = flow.url(settings.host, settings.client(flow.client_name).client_id)
        # Not RedirectResponse, which would quote the query, although it is complete and every character counts.
        response = private(Response(status_code=302, headers={"Location": url}))
        visit.cookies.add(response, flow)
        return response

    # --- authorization response (§4.1.2), access token request (§4.1.3) ------------------------------------

    async def approve(self, visit: Visit, *, log_in: bool) -> Response:
        """Exchange the code, store the token, log the person in if wanted, and return to where they came from."""
        state = _single(visit.request, "state")
        started = visit.cookies.find(visit.callback, visit.path_client, state) if state else None
        try:
            flow = await self._flow(visit, state, started)
            code = _code(visit.request)
            try:
                token = await self._exchange(flow, code)
            except InvalidGrantError:
                return self._start_again(visit, flow)
            response = await self._succeed(visit, flow, token, log_in=log_in)
        except _LoginFailed as failure:
            response = await self._fail(visit, failure, started)
        if started:
            visit.cookies.delete(response, started)
        return response

    async def _flow(self, visit: Visit, state: str | None, started: Flow | None) -> Flow:
        """Return the flow that this callback completes: one that this browser started, or one the app vouches for."""
        if started is not None:
            async with self._site.runtime.use() as parts:
                # By the verifier, which is fresh for each start; a state that the app chose may come again.
                if await parts.used_flows.use(started.code_verifier or started.state, expires_at=started.expires_at):
                    return started
        elif state and await called(self._site.hooks.verify_state, visit.request, state):
            return _minted_elsewhere(visit, state)
        raise _LoginFailed("invalid_state")

    async def _exchange(self, flow: Flow, code: str) -> AccessToken:
        """Return the stored token for the code; raises InvalidGrantError if the flow may be started again."""
        try:
            async with self._site.runtime.use() as parts:
                return await parts.issuance.authorization_code(
                    flow.client_name,
                    code=code,
                    redirect_uri=flow.redirect_uri,
                    code_verifier=flow.code_verifier,
                    requested_scopes=flow.scopes,
                )
        except InvalidGrantError:
            raise
        except (OAuthError, HubUnavailableError, InvalidResponseError) as error:
            raise _failure(error) from error

    def _start_again(self, visit: Visit, flow: Flow) -> Response:
        again = flow.started_again()
        if again is None:
            raise _LoginFailed("invalid_grant")
        log.info("The Hub did not accept a code; starting again (attempt %s).", again.attempt)
        response = self._redirect_to_hub(visit, again)
        if again.state != flow.state:
            visit.cookies.delete(response, flow)
        return response

    # --- the end of a flow ----------------------------------------------------------------------------------

    async def _succeed(self, visit: Visit, flow: Flow, token: AccessToken, *, log_in: bool) -> Response:
        session = LoginSession(visit.request)
        if log_in:
            session.log_in(token)
        session.end_flow()
        target = await called(self._site.hooks.after_approve, visit.request, token, flow.origin)
        return leave(visit.address, target or flow.origin)

    async def _fail(self, visit: Visit, failure: _LoginFailed, flow: Flow | None) -> Response:
        language = (flow.parameter("lang") if flow else None) or await self._site.language(visit.request)
        error = LoginError(failure.code, failure.description, language)
        session = LoginSession(visit.request)
        # A person who has cancelled knows it.
        if error.code != "access_denied":
            log.warning("A login or connection ended in %s: %s", error.code, error.description or error.message)
            session.store_error(error)
        target = await called(self._site.hooks.on_error, visit.request, error)
        if isinstance(target, Response) and target.status_code not in range(300, 400):
            # The hook has shown the error itself.
            session.remove_error()
        return leave(visit.address, target)


def _code(request: Request) -> str:
    """Return the authorization code of the response, or raise its error (§4.1.2.1)."""
    if (error := _single(request, "error")) is not None:
        raise _LoginFailed(*_readable(error, _single(request, "error_description")))
    if not (code := _single(request, "code")):
        raise _LoginFailed("invalid_response", "The Hub sent neither a code nor an error.")
    return code


def _failure(error: ZaikioOAuthError) -> Exception:
    """Return what an error of the token request means for the person."""
    if isinstance(error, OAuthError) and error.code == "invalid_request":
        return InvalidGrantError(error.code, error.description, error.status_code)
    if isinstance(error, OAuthError):
        return _LoginFailed(*_readable(error.code, error.description))
    code = "temporarily_unavailable" if isinstance(error, HubUnavailableError) else "invalid_response"
    return _LoginFailed(code, str(error))


def _minted_elsewhere(visit: Visit, state: str) -> Flow:
    """Return a flow that the app started without us, for which there is no ``code_verifier``."""
    return Flow(
        callback=visit.callback,
        client_name=visit.client_name,
        path_client=visit.path_client,
        redirect_uri=visit.redirect_uri,
        scopes=visit.client.scopes_for("Person" if visit.callback == "sessions" else "Organization"),
        state=state,
        code_verifier=None,
        origin=visit.safe_origin(LoginSession(visit.request).origin),
        chosen_state=True,
    )


def _single(request: Request, name: str) -> str | None:
    """Return a parameter, or None if it is missing or repeated (RFC 6749 §3.1)."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 else None


def _readable(code: str, description: str | None) -> tuple[str, str | None]:
    """Return an error of the Hub, which comes by way of the browser, in the characters and length that are allowed."""
    if not code or len(code) > _MAX_CODE_LENGTH or not _ERROR_CODE.issuperset(code):
        return "invalid_response", "The Hub's error code is malformed."
    if description:
        description = "".join(char for char in description if char.isprintable())[:_MAX_DESCRIPTION_LENGTH]
    return code, description or None
