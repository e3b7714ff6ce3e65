"""A token as the Hub hands it out (RFC 6749 §5.1, and what the Hub adds)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zaikio_oauth.testing.local_hub.directory import HubApp
from zaikio_oauth.testing.local_hub.grants import Bearer, IssuedToken
from zaikio_oauth.testing.local_hub.oauth_request import NO_STORE

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["issue_token", "token_answer"]


def issue_token(
    hub: LocalHub, request: Request, app: HubApp, bearer: Bearer, scopes: tuple[str, ...], **details: Any
) -> Response:
    """Issue a token that can be refreshed, and hand it out."""
    lifetimes: dict[str, Any] = {"lifetime": hub.access_token_lifetime, "refresh_lifetime": hub.refresh_token_lifetime}
    issuer = str(request.base_url).rstrip("/")
    issued = hub.grants.issue(app, bearer, scopes, issuer=issuer, **lifetimes | details)
    return token_answer(hub, issued)


def token_answer(hub: LocalHub, issued: IssuedToken) -> Response:
    """The answer; how ``expires_in`` is spelled is the Hub's choice."""
    seconds = round(issued.expires_at - hub.clock())
    instant = datetime.fromtimestamp(issued.expires_at, UTC).isoformat(timespec="milliseconds")
    expires_in: Any = {
        "seconds": seconds,
        "string": str(seconds),
        "iso8601": instant.replace("+00:00", "Z"),
    }[hub.expires_in_format]
    body: dict[str, Any] = {
        "access_token": issued.token,
        "token_type": "bearer",
        "scope": ",".join(issued.scopes),
        "audiences": [issued.audience],
        "expires_in": expires_in,
        "bearer": {"id": issued.bearer.id, "type": issued.bearer.type},
    }
    if issued.refresh_token:
        body["refresh_token"] = issued.refresh_token
    if issued.bearer.person_id:
        roles = list(issued.bearer.roles)
        body["bearer_on_behalf_of"] = {"id": issued.bearer.person_id, "type": "Person", "roles": roles}
    return JSONResponse(body, headers=NO_STORE)
