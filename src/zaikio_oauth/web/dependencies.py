"""Dependencies: ``Depends(current_access_token)``, ``Security(current_access_token, scopes=[…])``."""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import urlencode

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import DecryptionError, HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.tokens.token_manager import DEFAULT_VALID_FOR, TokenManager
from zaikio_oauth.web import session as login
from zaikio_oauth.web.hooks import Parts
from zaikio_oauth.web.responses import refusal
from zaikio_oauth.web.return_address import Location, route_path

__all__ = ["CurrentAccessToken", "OptionalAccessToken"]

log = logging.getLogger("zaikio_oauth")


class _SessionSecurity(SecurityBase):
    """The session's cookie as the OpenAPI page shows it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.scheme_name = "zaikio"
        self.model = APIKey.model_validate(
            {"in": APIKeyIn.cookie, "name": "session", "description": "The session cookie of a person logged in."}
        )

    async def find(self, connection: HTTPConnection) -> AccessToken | None:
        """The session's token, refreshed if need be; raises HubUnavailableError when it cannot be refreshed now."""
        access_token_id = login.access_token_id(connection)
        if access_token_id is None:
            return None
        tokens = await self.parts.tokens()
        try:
            return await _find_active(tokens, access_token_id)
        except DecryptionError:
            # The person can log in again; the operator has to put the key back.
            log.exception("A session's access token cannot be decrypted.")
            return None


class CurrentAccessToken(_SessionSecurity):
    """The session's access token, refreshed if need be.

    Nobody logged in: a page view is sent to the login and comes back, everything else gets 401. A
    missing scope: 403. The Hub is needed and down: 503.
    """

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken:
        """The token of this request."""
        try:
            token = await self.find(connection)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning("A session's access token cannot be refreshed: %s", error)
            raise refusal(connection, 503, "Zaikio cannot be reached at the moment.", {"Retry-After": "10"}) from error
        if token is None:
            raise self._nobody(connection)
        if missing := token.missing_scopes(security_scopes.scopes):
            raise refusal(connection, 403, f"The login does not include the scope {', '.join(missing)}.")
        return token

    def _nobody(self, connection: HTTPConnection) -> HTTPException | WebSocketException:
        if _is_page_view(connection) and (login_page := self._login_page(connection)):
            return HTTPException(303, "Log in first.", headers={"Location": login_page, "Cache-Control": "no-store"})
        return refusal(connection, 401, "Nobody is logged in.", {"WWW-Authenticate": "Cookie"})

    def _login_page(self, connection: HTTPConnection) -> str | None:
        request = Request(connection.scope)
        location = Location(request, self.parts.settings.base_url)
        path = route_path(request, "zaikio_new_session", self.parts)
        return path and f"{location.path(path)}?{urlencode({'origin': location.current()})}"


class OptionalAccessToken(_SessionSecurity):
    """The session's access token, or None: nobody logged in, a scope missing, or the Hub needed and down."""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> AccessToken | None:
        """The token of this request, if there is one."""
        try:
            token = await self.find(connection)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning("A session's access token cannot be refreshed: %s", error)
            return None
        return None if token is None or token.missing_scopes(security_scopes.scopes) else token


async def _find_active(tokens: TokenManager, access_token_id: str) -> AccessToken | None:
    try:
        return await tokens.find_active_access_token(access_token_id, DEFAULT_VALID_FOR)
    except (HubUnavailableError, InvalidResponseError, OAuthError):
        # Half a minute of a token that still works is better than an error page.
        return await tokens.find_active_access_token(access_token_id, timedelta(0))


def _is_page_view(connection: HTTPConnection) -> bool:
    """Whether a browser is about to show a page: it asks for HTML by name, not for whatever there is."""
    if connection.scope["type"] != "http" or connection.scope["method"] not in ("GET", "HEAD"):
        return False
    for part in connection.headers.get("accept", "").split(","):
        media_type, _, parameters = part.strip().partition(";")
        if media_type.strip().lower() in ("text/html", "application/xhtml+xml"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
