"""Dependencies that give a request the access token of the person who is logged in."""

from __future__ import annotations

import logging
from urllib.parse import urlencode

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import DecryptionError, HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.retries_and_waits import OPTIONAL_PATIENCE, PAGE_PATIENCE, PAGE_RETRY_AFTER
from zaikio_oauth.web.responses import connection_error
from zaikio_oauth.web.return_address import route_path
from zaikio_oauth.web.session import LoginSession
from zaikio_oauth.web.site import Site

__all__ = ["CurrentAccessToken", "OptionalAccessToken"]

log = logging.getLogger("zaikio_oauth")


class _SessionSecurity(SecurityBase):
    """The session cookie as a security scheme of OpenAPI."""

    patience = PAGE_PATIENCE

    def __init__(self, site: Site) -> None:
        self.site = site
        self.scheme_name = "zaikio"
        self.model = APIKey.model_validate(
            {
                "in": APIKeyIn.cookie,
                "name": "session",
                "description": "The session cookie of a person who is logged in.",
            }
        )

    async def find(self, connection: HTTPConnection) -> AccessToken | None:
        """Return the session's token, refreshed if necessary; raises HubUnavailableError if that fails now."""
        access_token_id = LoginSession(connection).access_token_id
        if access_token_id is None:
            return None
        async with self.site.runtime.use() as parts:
            try:
                return await parts.tokens.find_living(access_token_id, self.patience)
            except DecryptionError:
                # The person can log in again; the operator has to add the missing key.
                log.exception("The access token of a session cannot be decrypted.")
                return None
            except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
                log.warning("The access token of a session cannot be refreshed: %s", error)
                raise


class CurrentAccessToken(_SessionSecurity):
    """The access token of the person who is logged in, refreshed if necessary.

    If nobody is logged in, a page view is redirected (303) to the login and comes back afterwards; any other request
    gets 401. If a scope is missing: 403. If the token has to be refreshed and the Hub is not available: 503. Raises
    ConfigurationError if the app has no SessionMiddleware.

        @app.get("/sites")
        async def sites(
            token: Annotated[AccessToken, Security(current_access_token, scopes=["zaikio.sites.r"])],
        ): ...
    """

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken:
        """Return the token of this request."""
        try:
            token = await self.find(connection)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            headers = {"Retry-After": str(PAGE_RETRY_AFTER)}
            raise connection_error(connection, 503, "Zaikio cannot be reached at the moment.", headers) from error
        if token is None:
            raise self._not_logged_in(connection)
        if security_scopes.scopes and (missing := token.missing_scopes(security_scopes.scopes)):
            raise connection_error(connection, 403, f"The login does not include the scope {', '.join(missing)}.")
        return token

    def _not_logged_in(self, connection: HTTPConnection) -> HTTPException | WebSocketException:
        if _is_page_view(connection) and (login_page := self._login_page(connection)):
            return HTTPException(303, "Log in first.", headers={"Location": login_page, "Cache-Control": "no-store"})
        return connection_error(connection, 401, "Nobody is logged in.", {"WWW-Authenticate": "Cookie"})

    def _login_page(self, connection: HTTPConnection) -> str | None:
        request = Request(connection.scope)
        address = self.site.address(request)
        path = route_path(request, "zaikio_new_session", self.site)
        return path and f"{address.path(path)}?{urlencode({'origin': address.current()})}"


class OptionalAccessToken(_SessionSecurity):
    """The access token of the person who is logged in, refreshed if necessary, or None.

    It is None if nobody is logged in, if a scope is missing, or if the token has to be refreshed and the Hub is not
    available. Raises ConfigurationError if the app has no SessionMiddleware.

        @app.get("/")
        async def home(token: Annotated[AccessToken | None, Depends(optional_access_token)]):
            return {"logged in": token is not None}
    """

    patience = OPTIONAL_PATIENCE

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken | None:
        """Return the token of this request, or None."""
        try:
            token = await self.find(connection)
        except (HubUnavailableError, InvalidResponseError, OAuthError):
            return None
        return None if token is None or token.missing_scopes(security_scopes.scopes) else token


def _is_page_view(connection: HTTPConnection) -> bool:
    """Return True if a browser is about to show a page: it accepts HTML by name, not only ``*/*``."""
    if connection.scope["type"] != "http" or connection.scope["method"] not in ("GET", "HEAD"):
        return False
    for part in connection.headers.get("accept", "").split(","):
        media_type, _, parameters = part.strip().partition(";")
        if media_type.strip().lower() in ("text/html", "application/xhtml+xml"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
