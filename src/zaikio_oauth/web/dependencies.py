"""Dependencies that give a request the access token of the person who is logged in."""

# No postponed annotations here: an older FastAPI (0.122) cannot resolve those of an object that is a dependency.

import logging
from copy import deepcopy
from typing import Any
from urllib.parse import urlencode

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.openapi.models import SecurityBase as SecurityScheme
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import (
    DecryptionError,
    HubUnavailableError,
    InvalidResponseError,
    OAuthError,
    StoreUnavailableError,
)
from zaikio_oauth.settings.retries_and_waits import OPTIONAL_PATIENCE, PAGE_PATIENCE
from zaikio_oauth.web.navigation import is_page_view
from zaikio_oauth.web.operation import SESSION_RESPONSES
from zaikio_oauth.web.responses import connection_error, unavailable
from zaikio_oauth.web.return_address import route_path
from zaikio_oauth.web.session import ACCESS_TOKEN_ID, LoginSession, session_of
from zaikio_oauth.web.site import Site

__all__ = ["CurrentAccessToken", "OptionalAccessToken"]

log = logging.getLogger("zaikio_oauth")

_UNAVAILABLE = (HubUnavailableError, InvalidResponseError, OAuthError, StoreUnavailableError)
"""Why nobody can say at the moment who is logged in."""


class _SessionSecurity(SecurityBase):
    """The session cookie as a security scheme of OpenAPI."""

    seconds = PAGE_PATIENCE

    def __init__(self, site: Site) -> None:
        self.site = site
        self.scheme_name = "zaikio_session"
        self.model: SecurityScheme = APIKey.model_validate(
            {
                "in": APIKeyIn.cookie,
                "name": "session",
                "description": "The cookie of SessionMiddleware, which is called session unless the app renames it. "
                "In a browser, log in to the app instead of entering something here.",
            }
        )

    def at_hand(self, connection: HTTPConnection) -> AccessToken | None:
        """Return the session's token if it was read a moment ago and is not due: most page views need nothing else."""
        access_token_id = session_of(connection).get(ACCESS_TOKEN_ID)
        parts = self.site.runtime.opened_parts()
        return parts.tokens.at_hand(access_token_id) if parts is not None and isinstance(access_token_id, str) else None

    async def find(self, connection: HTTPConnection) -> AccessToken | None:
        """Return the session's token, refreshed if necessary; raises an error of _UNAVAILABLE if that fails now."""
        access_token_id = LoginSession(connection).access_token_id
        if access_token_id is None:
            return None
        try:
            patience = self.site.runtime.patience(self.seconds)
            async with self.site.runtime.use(patience=patience) as parts:
                return await parts.tokens.find_living(access_token_id, patience)
        except DecryptionError:
            # The person can log in again; the operator has to add the missing key.
            log.exception(
                "The access token of a session cannot be decrypted.",
                extra={"zaikio_event": "session.not_decryptable", "zaikio_access_token_id": access_token_id},
            )
            return None
        except _UNAVAILABLE as error:
            log.warning(
                "The access token of a session cannot be read or refreshed: %s",
                error,
                extra={"zaikio_event": "session.unavailable", "zaikio_access_token_id": access_token_id},
            )
            raise


class CurrentAccessToken(_SessionSecurity):
    """The access token of the person who is logged in, refreshed if necessary.

    If nobody is logged in, a page view is redirected (303) to the login and comes back afterwards; any other request
    gets 401, including a prefetch or a script that fetches HTML. If a scope is missing: 403. If the database, or the
    Hub that has to refresh the token, is not available: 503. Raises ConfigurationError if the app has no
    SessionMiddleware, or for a scope with a bearer prefix, which a token's scopes do not have.

        @app.get("/sites")
        async def sites(
            token: Annotated[AccessToken, Security(current_access_token, scopes=["zaikio.sites.r"])],
        ): ...
    """

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What it answers instead of the app, for OpenAPI: an argument of a route, of APIRouter or of FastAPI.

        @app.get("/sites", responses=current_access_token.responses)
        async def sites(token: Annotated[AccessToken, Depends(current_access_token)]): ...
        """
        return deepcopy(SESSION_RESPONSES)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken:
        """Return the token of this request."""
        scopes = security_scopes.scopes and scope_rules.of_token(security_scopes.scopes)
        try:
            token = self.at_hand(connection) or await self.find(connection)
        except StoreUnavailableError as error:
            raise unavailable(connection, "The login cannot be checked at the moment.") from error
        except _UNAVAILABLE as error:
            raise unavailable(connection, "Zaikio cannot be reached at the moment.") from error
        if token is None:
            raise self._not_logged_in(connection)
        if scopes and (missing := token.missing_scopes(scopes)):
            raise connection_error(connection, 403, f"The login does not include the scope {', '.join(missing)}.")
        return token

    def _not_logged_in(self, connection: HTTPConnection) -> HTTPException | WebSocketException:
        if is_page_view(connection) and (login_page := self._login_page(connection)):
            return HTTPException(303, "Log in first.", headers={"Location": login_page, "Cache-Control": "no-store"})
        return connection_error(connection, 401, "Nobody is logged in.", {"WWW-Authenticate": "Cookie"})

    def _login_page(self, connection: HTTPConnection) -> str | None:
        request = Request(connection.scope)
        address = self.site.address(request)
        runtime = self.site.runtime
        # with_client, in a dependency of the app's, may have chosen another client for this request.
        chosen = runtime.client_name if runtime.client_name != runtime.settings.default_client else None
        path = route_path(request, "zaikio_new_session", self.site, chosen)
        return path and f"{address.path(path)}?{urlencode({'origin': address.current()})}"


class OptionalAccessToken(_SessionSecurity):
    """The access token of the person who is logged in, refreshed if necessary, or None.

    It is None if nobody is logged in, if a scope is missing, or if the database, or the Hub that has to refresh the
    token, is not available. Raises ConfigurationError if the app has no SessionMiddleware, or for a scope with a bearer
    prefix, which a token's scopes do not have.

        @app.get("/")
        async def home(token: Annotated[AccessToken | None, Depends(optional_access_token)]):
            return {"logged in": token is not None}
    """

    seconds = OPTIONAL_PATIENCE

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken | None:
        """Return the token of this request, or None."""
        scopes = security_scopes.scopes and scope_rules.of_token(security_scopes.scopes)
        try:
            token = self.at_hand(connection) or await self.find(connection)
        except _UNAVAILABLE:
            return None
        return None if token is None or (scopes and token.missing_scopes(scopes)) else token
