"""The two steps of the authorization code grant (RFC 6749 §4.1), shared by sessions, connections and subscriptions."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.access_token import AccessToken, Secret
from zaikio_oauth.errors import (
    HubUnavailableError,
    InvalidGrantError,
    InvalidResponseError,
    OAuthError,
    StoreUnavailableError,
    ZaikioOAuthError,
    page_about,
)
from zaikio_oauth.web.flow import Flow, generate_state, hub_parameters, possible_state, usable_state
from zaikio_oauth.web.hooks import called
from zaikio_oauth.web.lost_flow import REASONS, Cause
from zaikio_oauth.web.navigation import is_prefetch
from zaikio_oauth.web.responses import http_error, leave, private, redirect
from zaikio_oauth.web.session import LoginError, LoginSession
from zaikio_oauth.web.site import Site, Visit

__all__ = ["LoginFlow", "single"]

log = logging.getLogger("zaikio_oauth")

_ISSUER = "ZAI"


class _LoginFailed(Exception):
    """Ends a callback with an error for the person. If ``flow_goes_on``, the flow can still be completed.

    ``cause``: of an ``invalid_state``. ``reason``: for the log, if there is no description.
    """

    def __init__(
        self,
        code: str,
        description: str | None = None,
        *,
        cause: Cause | None = None,
        reason: str = "without a description",
        flow_goes_on: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.description = description
        self.cause = cause
        self.reason = REASONS[cause] if cause else reason
        self.flow_goes_on = flow_goes_on


class _FlowIsOver(Exception):
    """Ends a callback that belongs to no flow which can be completed.

    ``used`` as its cause: another callback has completed the flow, whatever became of it.
    """

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause: Cause = cause


class LoginFlow:
    """Sends the browser to the Hub and takes it back."""

    def __init__(self, site: Site) -> None:
        self._site = site

    # --- authorization request (§4.1.1) -----------------------------------------------------------------

    async def start(self, visit: Visit, scopes: tuple[str, ...], redirect_uri: str | None = None) -> Response:
        """Redirect to the Hub, asking for these scopes; the browser keeps what the callback needs.

        Raises a 400 if what is needed is too long to be kept, and a 401 for a prefetch.
        """
        if is_prefetch(visit.request):
            # The person has not decided to log in, and the code of a whole prefetched login would be used up.
            raise http_error(401, "A prefetch does not start a login.")
        session = LoginSession(visit.request)
        parameters = hub_parameters(visit.request.query_params.multi_items())
        if "lang" not in dict(parameters) and (language := await self._site.language(visit.request)):
            parameters = (*parameters, ("lang", language))
        chosen = usable_state(single(visit.request, "state"))
        flow = Flow(
            host=self._site.runtime.settings.host,
            client_name=visit.client_name,
            client_id=visit.client.client_id,
            approve_path=visit.callback_path,
            redirect_uri=redirect_uri or visit.redirect_uri,
            scopes=scopes,
            origin=visit.safe_origin(single(visit.request, "origin") or session.origin),
            state=chosen or generate_state(),
            chosen_state=chosen is not None,
            parameters=parameters,
        )
        return self._redirect_to_hub(visit, flow)

    def _redirect_to_hub(self, visit: Visit, flow: Flow) -> Response:
        kept = visit.cookies.fitting(flow)
        if kept is None:
            raise http_error(400, "This request is too long to be kept in a cookie until the browser comes back.")
        # Not RedirectResponse, which would quote the query, although it is complete and every character counts.
        response = private(Response(status_code=302, headers={"Location": kept.url}))
        visit.cookies.add(response, kept)
        return response

    # --- authorization response (§4.1.2), access token request (§4.1.3) ------------------------------------

    async def approve(self, visit: Visit, *, log_in: bool) -> Response:
        """Exchange the code, store the token, log the person in if wanted, and return to where they came from."""
        session = LoginSession(visit.request)
        state = possible_state(single(visit.request, "state"))
        started = visit.cookies.find(self._site.runtime.settings.host, visit.callback_path, state) if state else None
        try:
            flow = await self._flow(visit, state, started)
            code = _code(visit.request)
            try:
                token = await self._exchange(flow, code)
            except InvalidGrantError:
                return self._start_again(visit, flow)
            response = await self._succeed(visit, flow, token, log_in=log_in)
        except _FlowIsOver as over:
            if over.cause == "used" or (log_in and session.access_token_id):
                # Nothing is written: the response to the other callback may have logged the person in.
                return self._send_on(visit, over.cause, started)
            response = await self._fail(visit, _LoginFailed("invalid_state", cause=over.cause), started)
        except _LoginFailed as failure:
            response = await self._fail(visit, failure, started)
            if failure.flow_goes_on:
                return response
        if started:
            visit.cookies.delete(response, started)
        return response

    async def _flow(self, visit: Visit, state: str | None, started: Flow | None) -> Flow:
        """Return the flow that this callback completes: one that this browser started, or one the app vouches for."""
        _check_issuer(visit.request, self._site.runtime.settings.host)
        obstacle = self._obstacle(started) if started else None
        if started is not None and obstacle is None:
            # By the verifier, which is fresh for each start; a state that the app chose may come again.
            await self._use(started.code_verifier or started.state, started)
            return started
        if started is None and state and await called(self._site.hooks.verify_state, visit.request, state):
            flow = self._minted_elsewhere(visit, state)
            if code := single(visit.request, "code"):
                # The app may accept the state several times, but a code is good for one callback.
                await self._use(f"{state} {code}", flow)
            return flow
        raise _FlowIsOver(obstacle or self._why_not_found(visit, state))

    def _obstacle(self, flow: Flow) -> Cause | None:
        """Return why this flow cannot be completed any more, if it cannot."""
        client = self._site.runtime.settings.clients.get(flow.client_name)
        if client is None or client.client_id != flow.client_id:
            return "client_changed"
        return "expired" if flow.expired() else None

    def _why_not_found(self, visit: Visit, state: str | None) -> Cause:
        if state is None:
            return "no_state"
        host = self._site.runtime.settings.host
        return visit.cookies.why_not_found(host, visit.callback_path, state, visit.client_name)

    async def _use(self, identity: str, flow: Flow) -> None:
        """Mark the flow as used; raises _FlowIsOver if it is already."""
        try:
            async with self._site.runtime.use() as parts:
                fresh = await parts.used_flows.use(identity, expires_at=flow.expires_at)
        except StoreUnavailableError as error:
            log.warning(
                "A callback cannot be completed: %s",
                error,
                extra={"zaikio_event": "login.unavailable", "zaikio_client_name": flow.client_name},
            )
            reason = "the database cannot be used"
            raise _LoginFailed("temporarily_unavailable", reason=reason, flow_goes_on=True) from error
        if not fresh:
            raise _FlowIsOver("used")

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
        except StoreUnavailableError as error:
            log.warning(
                "A token cannot be stored: %s",
                error,
                extra={"zaikio_event": "login.not_stored", "zaikio_client_name": flow.client_name},
            )
            raise _LoginFailed("temporarily_unavailable", reason="the token cannot be stored") from error
        except (OAuthError, HubUnavailableError, InvalidResponseError) as error:
            raise _failure(error) from error

    def _start_again(self, visit: Visit, flow: Flow) -> Response:
        again = flow.started_again()
        if again is None:
            raise _LoginFailed("invalid_grant", reason="the Hub has not accepted the code of any attempt")
        log.info(
            "The Hub did not accept a code; starting again (attempt %s).",
            again.attempt,
            extra={
                "zaikio_event": "login.restarted",
                "zaikio_client_name": flow.client_name,
                "zaikio_attempt": again.attempt,
            },
        )
        response = self._redirect_to_hub(visit, again)
        if again.state != flow.state:
            visit.cookies.delete(response, flow)
        return response

    # --- the end of a flow ----------------------------------------------------------------------------------

    async def _succeed(self, visit: Visit, flow: Flow, token: AccessToken, *, log_in: bool) -> Response:
        session = LoginSession(visit.request)
        before = session.copy()
        replaced = session.log_in(token) if log_in else None
        session.end_flow()
        try:
            target = await called(self._site.hooks.after_approve, visit.request, token, flow.origin)
            response = leave(visit.address, target, flow.origin)
        except Exception:
            # The app did not take the grant, so nobody would hold it.
            session.restore(before)
            await self._site.logout.now(token.id)
            raise
        except BaseException:
            session.restore(before)
            self._site.logout.later(token.id)
            raise
        if replaced:
            self._site.logout.later(replaced)
        return response

    async def _fail(self, visit: Visit, failure: _LoginFailed, flow: Flow | None) -> Response:
        language = (flow.parameter("lang") if flow else None) or await self._site.language(visit.request)
        error = LoginError.of(failure.code, failure.description, language)
        session = LoginSession(visit.request)
        if error.code == "access_denied":
            # The person knows it.
            log.info(
                "A person has cancelled a login or connection.",
                extra={"zaikio_event": "login.cancelled", "zaikio_client_name": visit.client_name},
            )
        else:
            # Never the message, which is in the language of the person.
            log.warning(
                "A login or connection ended in %s: %s; see %s",
                error.code,
                failure.reason if failure.cause else error.description or failure.reason,
                page_about(error.code),
                extra={
                    "zaikio_event": "login.failed",
                    "zaikio_error": error.code,
                    "zaikio_cause": failure.cause,
                    "zaikio_client_name": visit.client_name,
                    "zaikio_documentation": page_about(error.code),
                },
            )
            session.store_error(error)
        target = await called(self._site.hooks.on_error, visit.request, error)
        if isinstance(target, Response) and target.status_code not in range(300, 400):
            # The hook has shown the error itself.
            session.remove_error()
        return leave(visit.address, target)

    def _send_on(self, visit: Visit, cause: Cause, flow: Flow | None) -> Response:
        log.info(
            "A callback has no effect, and the person is sent on: %s",
            REASONS[cause],
            extra={"zaikio_event": "login.repeated", "zaikio_cause": cause, "zaikio_client_name": visit.client_name},
        )
        return redirect((flow.origin if flow else None) or visit.address.path("/"))

    def _minted_elsewhere(self, visit: Visit, state: str) -> Flow:
        """Return a flow that the app started without us, for which there is no ``code_verifier``."""
        return Flow(
            host=self._site.runtime.settings.host,
            client_name=visit.client_name,
            client_id=visit.client.client_id,
            approve_path=visit.callback_path,
            redirect_uri=visit.redirect_uri,
            scopes=visit.client.scopes_for("Person" if visit.callback == "sessions" else "Organization"),
            state=state,
            code_verifier=None,
            origin=visit.safe_origin(LoginSession(visit.request).origin),
            chosen_state=True,
        )


def single(request: Request, name: str) -> str | None:
    """Return a parameter, or None if it is missing or repeated (RFC 6749 §3.1)."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 else None


def _check_issuer(request: Request, host: str) -> None:
    """Raise _LoginFailed if the response says that it is another server's (RFC 9207 §2.4)."""
    issuers = request.query_params.getlist("iss")
    if any(issuer.rstrip("/") not in (host, _ISSUER) for issuer in issuers) or len(issuers) > 1:
        description = "The response comes from another authorization server."
        raise _LoginFailed("invalid_state", description, cause="other_issuer", flow_goes_on=True)


def _code(request: Request) -> str:
    """Return the authorization code of the response, or raise its error (§4.1.2.1)."""
    if (error := single(request, "error")) is not None:
        raise _LoginFailed(error, single(request, "error_description"))
    if not (code := single(request, "code")):
        raise _LoginFailed("invalid_response", "The Hub sent neither a code nor an error.")
    return Secret(code)


def _failure(error: ZaikioOAuthError) -> Exception:
    """Return what an error of the token request means for the person."""
    if isinstance(error, OAuthError) and error.code == "invalid_request":
        return InvalidGrantError(error.code, error.description, error.status_code)
    if isinstance(error, OAuthError):
        return _LoginFailed(error.code, error.description)
    code = "temporarily_unavailable" if isinstance(error, HubUnavailableError) else "invalid_response"
    return _LoginFailed(code, str(error))
