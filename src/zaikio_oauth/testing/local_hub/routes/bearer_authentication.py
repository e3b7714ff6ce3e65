"""Authentication of a request with an access token (RFC 6750)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zaikio_oauth.testing.local_hub.state.grants import Grants, IssuedToken

__all__ = ["authenticate", "unauthorized"]


def authenticate(grants: Grants, request: Request) -> IssuedToken | None:
    """Return the token of ``Authorization: Bearer``, if it is valid (RFC 6750 §2.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return grants.find(token) if scheme.lower() == "bearer" else None


def unauthorized(request: Request) -> Response:
    """Return a 401, with ``invalid_token`` only if the request had credentials (RFC 6750 §3.1)."""
    error = ', error="invalid_token"' if "authorization" in request.headers else ""
    return JSONResponse({"errors": ["unauthorized"]}, 401, {"WWW-Authenticate": f'Bearer realm="Zaikio"{error}'})
