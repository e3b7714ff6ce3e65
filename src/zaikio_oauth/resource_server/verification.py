"""An API of the app's own, which other Zaikio apps call: the tokens that come in (RFC 6749 §1.1)."""

from __future__ import annotations

from datetime import UTC, datetime

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.errors import InvalidTokenError
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import Jwks
from zaikio_oauth.hub.token_response import role_bits
from zaikio_oauth.resource_server.bearer_token import BearerToken, bearer_token_of
from zaikio_oauth.resource_server.revocation_list import Revocations
from zaikio_oauth.settings import Settings, same_app

__all__ = ["ResourceServer"]

ANY_APP = "*"


class ResourceServer:
    """Verifies bearer tokens for one event loop: signature, issuer, time, audience, revocation."""

    def __init__(self, settings: Settings, *, jwks: Jwks, roles: Roles, revocations: Revocations) -> None:
        self._settings = settings
        self._jwks = jwks
        self._roles = roles
        self._revocations = revocations

    async def verify(self, token: str) -> BearerToken:
        """What the token says; raises InvalidTokenError, and HubUnavailableError when the keys cannot be had."""
        claims = await self._jwks.claims(token)
        verified = bearer_token_of(claims, datetime.now(UTC))
        if not self._is_for_us(verified):
            raise InvalidTokenError("The token is for another audience.")
        if await self._revocations.contain(verified.jti):
            raise InvalidTokenError("The token is revoked.")
        return await self._with_roles(verified, role_bits(claims.get("roles")))

    async def _with_roles(self, token: BearerToken, bits: int | None) -> BearerToken:
        if token.on_behalf_of is None or bits is None:
            return token
        # Where they cannot be named, the token permits less than it could.
        roles = await self._roles.named(bits) or ()
        return token.model_copy(update={"on_behalf_of": token.on_behalf_of.model_copy(update={"roles": roles})})

    def _is_for_us(self, token: BearerToken) -> bool:
        """Whether the audience names us or an app that may call us (RFC 7519 §4.1.3)."""
        accepted = (*self._settings.clients, *self._settings.bearer_audiences)
        if any(same_app(audience, name) for audience in token.audiences for name in accepted):
            return True
        # Whichever app it is: the Hub has granted it a scope of ours. A token without one was got for something
        # else, and whoever it was given to could pass for the person here.
        return ANY_APP in self._settings.bearer_audiences and any(
            same_app(scope_rules.unprefixed(scope).partition(".")[0], name)
            for scope in token.scopes
            for name in self._settings.clients
        )
