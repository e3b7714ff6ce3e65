"""``/api/v1``: the endpoints that an app touches right after a login, revocation, and the public keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.directory import ROLES
from zaikio_oauth.testing.local_hub.grants import IssuedToken

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["Api", "bearer_token", "unauthorized"]


class Api:
    """The REST API, as far as an OAuth client needs it."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub

    def routes(self) -> list[Route]:
        """The routes."""
        routes = [
            Route("/api/v1/person", self.person),
            Route("/api/v1/organization", self.organization),
            Route("/api/v1/roles", self.roles),
            Route("/api/v1/jwt_public_keys.json", self.keys),
        ]
        for suffix in ("", ".json"):
            path = f"/api/v1/revoked_access_tokens{suffix}"
            routes += [Route(path, self.revoked, methods=["GET"]), Route(path, self.revoke, methods=["POST"])]
        return routes

    async def person(self, request: Request) -> Response:
        """The person whose token it is."""
        issued = bearer_token(self._hub, request)
        if issued is None:
            return unauthorized(request)
        person = self._hub.person(issued.bearer.id)
        if person is None or not _permits(issued, "person"):
            return JSONResponse({"errors": ["unpermitted_scope"]}, 403)
        memberships = [
            {"roles": list(roles), "organization": {"id": organization.id, "name": organization.name}}
            for organization_id, roles in person.memberships
            if (organization := self._hub.organization(organization_id))
        ]
        return JSONResponse(
            {
                "id": person.id,
                "first_name": person.first_name,
                "name": person.name,
                "full_name": person.full_name,
                "email": person.email,
                "email_confirmed": True,
                "locale": person.locale,
                "organization_memberships": memberships,
            }
        )

    async def organization(self, request: Request) -> Response:
        """The organization whose token it is."""
        issued = bearer_token(self._hub, request)
        if issued is None:
            return unauthorized(request)
        organization = self._hub.organization(issued.bearer.id)
        if organization is None or not _permits(issued, "organization"):
            return JSONResponse({"errors": ["unpermitted_scope"]}, 403)
        return JSONResponse(
            {
                "id": organization.id,
                "name": organization.name,
                "country_code": organization.country_code,
                "kinds": list(organization.kinds),
            }
        )

    async def roles(self, request: Request) -> Response:
        """The names of the roles, by the position of their bit."""
        return JSONResponse(list(ROLES))

    async def keys(self, request: Request) -> Response:
        """The public keys."""
        return JSONResponse(self._hub.grants.keys.published())

    async def revoke(self, request: Request) -> Response:
        """Revoke the token that authenticates the request."""
        issued = bearer_token(self._hub, request)
        if issued is None:
            return unauthorized(request)
        self._hub.grants.revoke(issued.jti)
        return JSONResponse({"access_token_id": issued.jti}, 201)

    async def revoked(self, request: Request) -> Response:
        """The ids of revoked tokens that have not expired."""
        return JSONResponse({"revoked_token_ids": self._hub.grants.revoked()})


def bearer_token(hub: LocalHub, request: Request) -> IssuedToken | None:
    """The token of ``Authorization: Bearer``, while it is good (RFC 6750 §2.1)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return hub.grants.find(token) if scheme.lower() == "bearer" else None


def unauthorized(request: Request) -> Response:
    """401; a token that was shown and is no good is named as the reason (RFC 6750 §3.1)."""
    shown = ', error="invalid_token"' if "authorization" in request.headers else ""
    return JSONResponse({"errors": ["unauthorized"]}, 401, {"WWW-Authenticate": f'Bearer realm="Zaikio"{shown}'})


def _permits(issued: IssuedToken, what: str) -> bool:
    needed = {f"{app}.{what}.{permission}" for app in ("zaikio", "directory") for permission in ("r", "rw")}
    return bool(needed.intersection(issued.scopes))
