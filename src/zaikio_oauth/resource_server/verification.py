"""Verifies the bearer tokens that other Zaikio apps present to the app (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import OnBehalfOf
from zaikio_oauth.errors import InvalidTokenError
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import SigningKeys
from zaikio_oauth.hub.syntax import is_name, is_scope, is_token_id
from zaikio_oauth.hub.token_response import role_bits, texts
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.resource_server.revocation_list import RevocationList
from zaikio_oauth.resource_server.verified_tokens import NO_ROLES, Published, VerifiedTokens
from zaikio_oauth.settings import Settings, same_app

__all__ = ["Verification"]

ANY_APP = "*"
ISSUER = "ZAI"
CLOCK_SKEW = timedelta(seconds=10)
"""How far the Hub's clock may be ahead of ours. There is no such tolerance for ``exp``."""

_SUBJECT = re.compile(
    r"(?:Person/(?P<person_id>[\w-]{1,255})>)?(?P<type>Person|Organization)/(?P<id>[\w-]{1,255})", re.ASCII
)
_LAST_INSTANT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """Checks signature, issuer, time, audience and revocation, for one event loop."""

    settings: Settings
    signing_keys: SigningKeys
    roles: Roles
    revocation_list: RevocationList
    verified: VerifiedTokens = field(default_factory=VerifiedTokens)

    def at_hand(self, token: str) -> BearerToken | None:
        """Return what a token says that was verified and not revoked a moment ago, or None: then ``verify`` it."""
        known = self._known(token)
        return known if known is not None and self.revocation_list.verdict_at_hand(known.jti) is False else None

    async def verify(self, token: str) -> BearerToken:
        """Return what the token says; raises InvalidTokenError, or HubUnavailableError if there are no keys."""
        known = self._known(token)
        if known is not None:
            await self._check_revocation(known)
            return known
        keys = self.signing_keys.fresh
        claims = await self.signing_keys.claims(token)
        verified = _bearer_token(claims, datetime.now(UTC))
        if not self._is_for_us(verified):
            raise InvalidTokenError("The token is for another audience.")
        await self._check_revocation(verified)
        named, roles = await self._with_roles(verified, role_bits(claims.get("roles")))
        # By the keys from before: if there are others by now, nobody can say by which of them it was verified, and
        # those from before are never asked for again.
        if keys is not None and roles is not None:
            self.verified.put(token, Published(keys, roles), named)
        return named

    def _known(self, token: str) -> BearerToken | None:
        return self.verified.get(token, Published(self.signing_keys.fresh, self.roles.fresh), datetime.now(UTC))

    async def _check_revocation(self, token: BearerToken) -> None:
        if await self.revocation_list.contains(token.jti):
            raise InvalidTokenError("The token is revoked.")

    async def _with_roles(self, token: BearerToken, bits: int | None) -> tuple[BearerToken, object]:
        """Return the token with the names of its roles, and where they are from; None if they could be better."""
        if token.on_behalf_of is None or bits is None:
            return token, NO_ROLES
        names = await self.roles.named(bits)
        # Without names for its roles the token permits less than it could.
        acting = token.on_behalf_of.model_copy(update={"roles": names or ()})
        return token.model_copy(update={"on_behalf_of": acting}), None if names is None else self.roles.fresh

    def _is_for_us(self, token: BearerToken) -> bool:
        """Return True if the audience is us or an app that may call us (RFC 7519 §4.1.3)."""
        others = set(self.settings.bearer_audiences) - {ANY_APP}
        if others.intersection(token.audiences):
            return True
        if any(same_app(audience, name) for audience in token.audiences for name in self.settings.clients):
            return True
        # With "*" any app to which the Hub has granted a scope of ours. A token without such a scope was issued for
        # something else, and whoever it was given to could pass for the person here.
        return ANY_APP in self.settings.bearer_audiences and any(
            same_app(scope_rules.unprefixed(scope).partition(".")[0], name)
            for scope in token.scopes
            for name in self.settings.clients
        )


def _bearer_token(claims: Mapping[str, Any], now: datetime) -> BearerToken:
    """Return the token of a JWT with a valid signature; raises InvalidTokenError. The audience is not checked."""
    expires_at = _check_issuer_and_time(claims, now)
    jti = claims.get("jti")
    if not is_token_id(jti):
        raise InvalidTokenError("The token has no id, so nobody could revoke it.")
    subject = _SUBJECT.fullmatch(claims["sub"]) if isinstance(claims.get("sub"), str) else None
    if subject is None or (subject["person_id"] and subject["type"] == "Person"):
        raise InvalidTokenError("The token's subject is neither a person nor an organization.")
    scope = claims.get("scope")
    scopes = scope_rules.parse(scope if isinstance(scope, str) else texts(scope))
    audiences = texts(claims.get("aud"))
    if not all(map(is_scope, scopes)) or not all(map(is_name, audiences)):
        raise InvalidTokenError("The token has a scope or an audience that is malformed.")
    return BearerToken(
        jti=jti,
        subject_type="Person" if subject["type"] == "Person" else "Organization",
        subject_id=subject["id"],
        on_behalf_of=OnBehalfOf(id=subject["person_id"]) if subject["person_id"] else None,
        audiences=audiences,
        scopes=scopes,
        expires_at=expires_at,
    )


def _check_issuer_and_time(claims: Mapping[str, Any], now: datetime) -> datetime:
    """Check ``iss``, ``exp`` and ``nbf`` (RFC 7519 §4.1); return the instant at which the token expires."""
    if claims.get("iss") != ISSUER:
        raise InvalidTokenError("The token was not issued by Zaikio.")
    expires_at = _instant(claims.get("exp"))
    if expires_at is None or expires_at <= now:
        raise InvalidTokenError("The token has expired.")
    if "nbf" in claims:
        not_before = _instant(claims["nbf"])
        if not_before is None or not_before > now + CLOCK_SKEW:
            raise InvalidTokenError("The token is not valid yet.")
    return expires_at


def _instant(value: Any) -> datetime | None:
    """Return a NumericDate (RFC 7519 §2) as an instant, or None if it is not one."""
    if type(value) not in (int, float) or not 0 < value < _LAST_INSTANT:
        return None
    return datetime.fromtimestamp(value, UTC)
