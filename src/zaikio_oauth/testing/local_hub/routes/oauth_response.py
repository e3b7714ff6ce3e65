"""The JSON responses to an OAuth request: a token, or an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zaikio_oauth.testing.local_hub.state.bearer import Bearer
from zaikio_oauth.testing.local_hub.state.directory import HubApp
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["NO_STORE", "Refusal", "issue_token", "scope_refusal"]

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Refusal(Exception):
    """The request is answered with an error response (RFC 6749 §5.2)."""

    def __init__(self, error: str, description: str = "", status_code: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status_code = status_code

    def response(self) -> Response:
        """Return the error response."""
        body = {"error": self.error, "error_description": self.description or self.error}
        headers = dict(NO_STORE)
        if self.status_code == 401:
            headers["WWW-Authenticate"] = 'Basic realm="Zaikio"'
        return JSONResponse(body, self.status_code, headers)


def scope_refusal(code: str) -> Response:
    """Return the Hub's error response for scopes: 402 if the bearer has not granted them, else 422."""
    return JSONResponse({"errors": {"scopes": [code]}}, 402 if code == "ungranted_scope" else 422, NO_STORE)


def issue_token(
    state: HubState, request: Request, app: HubApp, bearer: Bearer, scopes: tuple[str, ...], **details: Any
) -> Response:
    """Issue a token and return it (RFC 6749 §5.1); it can be refreshed unless ``details`` say otherwise."""
    options: dict[str, Any] = {
        "issuer": str(request.base_url).rstrip("/"),
        "lifetime": state.access_token_lifetime,
        "refresh_lifetime": state.refresh_token_lifetime,
    }
    issued = state.grants.issue(app, bearer, scopes, **options | details)
    body: dict[str, Any] = {
        "access_token": issued.token,
        "token_type": "bearer",
        "scope": ",".join(scopes),
        "audiences": [app.name],
        "expires_in": _expires_in(state, issued.expires_at),
        "bearer": {"id": bearer.id, "type": bearer.type},
    }
    if issued.refresh_token:
        body["refresh_token"] = issued.refresh_token
    if bearer.person_id:
        body["bearer_on_behalf_of"] = {"id": bearer.person_id, "type": "Person", "roles": list(bearer.roles)}
    return JSONResponse(body, headers=NO_STORE)


def _expires_in(state: HubState, expires_at: float) -> int | str:
    if state.expires_in_format == "iso8601":
        return datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    seconds = round(expires_at - state.clock())
    return str(seconds) if state.expires_in_format == "string" else seconds
