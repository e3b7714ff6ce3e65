"""Verifies the bearer tokens that other Zaikio apps present to the app (RFC 6750)."""

from __future__ import annotations

from datetime import UTC, datetime

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.errors import InvalidTokenError
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.hub.token_response import role_bits
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.resource_server.revocation_list import RevocationList
from zaikio_oauth.settings import Settings, same_app

__all__ = ["Verification"]

ANY_APP = "*"


class Verification:
    """Checks signature, issuer, time, audience and revocation, for one event loop."""

    def __init__(
        self, settings: Settings, *, signing_keys: SigningKeys, roles: Roles, revocation_list: RevocationList
    ) -> None:
        self._settings = settings
        self._signing_keys = signing_keys
        self._roles = roles
        self._revocation_list = revocation_list

    async def verify(self, token: str) -> BearerToken:
        """Return what the token says; raises InvalidTokenError, or HubUnavailableError if there are no keys."""
        claims = await self._signing_keys.claims(token)
        verified = BearerToken.from_claims(claims, datetime.now(UTC))
        if not self._is_for_us(verified):
            raise InvalidTokenError("The token is for another audience.")
        if await self._revocation_list.contains(verified.jti):
            raise InvalidTokenError("The token is revoked.")
        return await self._with_roles(verified, role_bits(claims.get("roles")))

    async def _with_roles(self, token: BearerToken, bits: int | None) -> BearerToken:
        if token.on_behalf_of is None or bits is None:
            return token
        # Without names for its roles the token permits less than it could.
        roles = await self._roles.named(bits) or ()
        return token.model_copy(update={"on_behalf_of": token.on_behalf_of.model_copy(update={"roles": roles})})

    def _is_for_us(self, token: BearerToken) -> bool:
        """Return True if the audience is us or an app that may call us (RFC 7519 §4.1.3)."""
        accepted = (*self._settings.clients, *self._settings.bearer_audiences)
        if any(same_app(audience, name) for audience in token.audiences for name in accepted):
            return True
        # With "*" any app to which the Hub has granted a scope of ours. A token without such a scope was issued for
        # something else, and whoever it was given to could pass for the person here.
        return ANY_APP in self._settings.bearer_audiences and any(
            same_app(scope_rules.unprefixed(scope).partition(".")[0], name)
            for scope in token.scopes
            for name in self._settings.clients
        )
