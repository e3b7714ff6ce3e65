"""``/api/v1``: people, organizations, roles, public keys and revocation."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from zaikio_oauth.testing.local_hub.routes.bearer_authentication import authenticate, unauthorized
from zaikio_oauth.testing.local_hub.state.directory import ROLES
from zaikio_oauth.testing.local_hub.state.grants import IssuedToken
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["ApiRoutes"]


class ApiRoutes:
    """The part of the Hub's REST API that an OAuth client needs."""

    def __init__(self, state: HubState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
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
        """Return the person that the token belongs to."""
        issued = authenticate(self._state.grants, request)
        if issued is None:
            return unauthorized(request)
        person = self._state.person(issued.bearer.id)
        if person is None or not _permits(issued, "person"):
            return JSONResponse({"errors": ["unpermitted_scope"]}, 403)
        memberships = [
            {"roles": list(roles), "organization": {"id": organization.id, "name": organization.name}}
            for organization_id, roles in person.memberships
            if (organization := self._state.organization(organization_id))
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
        """Return the organization that the token belongs to."""
        issued = authenticate(self._state.grants, request)
        if issued is None:
            return unauthorized(request)
        organization = self._state.organization(issued.bearer.id)
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
        """Return the names of the roles. The index of a role is its bit in a token."""
        return JSONResponse(list(ROLES))

    async def keys(self, request: Request) -> Response:
        """Return the public keys."""
        return JSONResponse(self._state.grants.keys.published())

    async def revoke(self, request: Request) -> Response:
        """Revoke the token that authenticates the request."""
        issued = authenticate(self._state.grants, request)
        if issued is None:
            return unauthorized(request)
        self._state.grants.revoke(issued.jti)
        return JSONResponse({"access_token_id": issued.jti}, 201)

    async def revoked(self, request: Request) -> Response:
        """Return the ids of the revoked tokens that have not expired."""
        return JSONResponse({"revoked_token_ids": self._state.grants.revoked()})


def _permits(issued: IssuedToken, resource: str) -> bool:
    needed = {f"{app}.{resource}.{permission}" for app in ("zaikio", "directory") for permission in ("r", "rw")}
    return bool(needed.intersection(issued.scopes))
