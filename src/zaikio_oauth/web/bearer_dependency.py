"""A dependency that verifies the bearer token that another app presents to an API of the app's own (RFC 6750)."""

# No postponed annotations here: an older FastAPI (0.122) cannot resolve those of an object that is a dependency.

import logging
from copy import deepcopy
from typing import Any

from fastapi import HTTPException, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityScheme
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import BearerType, Secret
from zaikio_oauth.errors import HubUnavailableError, InvalidTokenError, StoreUnavailableError
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.web.operation import BEARER_RESPONSES
from zaikio_oauth.web.responses import connection_error, unavailable
from zaikio_oauth.web.site import Site

__all__ = ["BearerDependency"]

log = logging.getLogger("zaikio_oauth")


class BearerDependency(SecurityBase):
    """The verified JWT of ``Authorization: Bearer``, as a BearerToken.

    If there is none or it is not valid: 401; several ``Authorization`` headers: 400; a missing scope or a subject of
    another type: 403; each with ``WWW-Authenticate`` as RFC 6750 §3 requires. If the Hub's keys cannot be fetched or
    the database cannot be used: 503.

        @app.get("/catalog")
        async def catalog(token: Annotated[BearerToken, Security(bearer_token, scopes=["my_app.catalog.r"])]):
            return {"catalog of": token.subject_id}
    """

    def __init__(self, site: Site, subject_type: BearerType | None = None) -> None:
        self.site = site
        self.subject_type: BearerType | None = subject_type
        self.scheme_name = "zaikio_bearer"
        self.model: SecurityScheme = HTTPBearer(bearerFormat="JWT", description="An access token of the Zaikio Hub.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BearerDependency) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def of(self, subject_type: BearerType) -> "BearerDependency":
        """Return a dependency that accepts only tokens of organizations, or only tokens with which a person acts.

        A person acts with a token of their own, or with one on behalf of an organization (``token.person_id``).

            @app.post("/orders")
            async def order(token: Annotated[BearerToken, Security(bearer_token.of("Organization"))]): ...
        """
        return BearerDependency(self.site, subject_type)

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What it answers instead of the app, for OpenAPI: an argument of a route, of APIRouter or of FastAPI.

        @app.get("/catalog", responses=bearer_token.responses)
        async def catalog(token: Annotated[BearerToken, Depends(bearer_token)]): ...
        """
        return deepcopy(BEARER_RESPONSES)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> BearerToken:
        """Return the verified token of this request."""
        scopes = scope_rules.of_token(security_scopes.scopes)
        text = self._token(connection, scopes)
        opened = self.site.runtime.opened_parts()
        token = opened.verification.at_hand(text) if opened is not None else None
        if token is None:
            token = await self._verified(connection, text, scopes)
        if missing := token.missing_scopes(scopes):
            detail = f"The token does not include the scope {', '.join(missing)}."
            raise _challenge(connection, 403, detail, "insufficient_scope", scopes)
        if not self._subject_fits(token):
            detail = f"This needs a token of a subject of type {self.subject_type}, not {token.subject_type}."
            raise _challenge(connection, 403, detail, "insufficient_scope", scopes)
        return token

    async def _verified(self, connection: HTTPConnection, text: str, scopes: tuple[str, ...]) -> BearerToken:
        try:
            async with self.site.runtime.use() as parts:
                return await parts.verification.verify(text)
        except InvalidTokenError as error:
            raise _challenge(connection, 401, error.description, error.code, scopes) from None
        except (HubUnavailableError, StoreUnavailableError) as error:
            log.warning(
                "A bearer token cannot be verified: %s", error, extra={"zaikio_event": "bearer_token.unavailable"}
            )
            raise unavailable(connection, "The token cannot be verified at the moment.") from None

    @property
    def _identity(self) -> tuple[int, BearerType | None]:
        return id(self.site), self.subject_type

    def _token(self, connection: HTTPConnection, scopes: tuple[str, ...]) -> str:
        """Return the token of the one header that may carry it (RFC 6750 §2.1)."""
        headers = connection.headers.getlist("authorization")
        if len(headers) > 1:
            raise _challenge(connection, 400, "There are several Authorization headers.", "invalid_request", scopes)
        scheme, _, token = "".join(headers).strip().partition(" ")
        if scheme.lower() != "bearer":
            # §3.1: without a token in the request there is no error code.
            raise _challenge(connection, 401, "A bearer token is needed.", None, scopes)
        return Secret(token.strip())

    def _subject_fits(self, token: BearerToken) -> bool:
        if self.subject_type == "Person":
            return token.person_id is not None
        return self.subject_type in (None, token.subject_type)


def _challenge(
    connection: HTTPConnection, status_code: int, detail: str, code: str | None, scopes: tuple[str, ...]
) -> HTTPException | WebSocketException:
    parameters = {"realm": "Zaikio"}
    if code is not None:
        parameters |= {"error": code, "error_description": detail}
    if scopes and code != "invalid_token":
        parameters["scope"] = " ".join(scopes)
    challenge = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    return connection_error(connection, status_code, detail, {"WWW-Authenticate": challenge})
