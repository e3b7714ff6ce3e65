"""A bearer token that came in, as a value, and the pure question of whether its claims will do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import OnBehalfOf
from zaikio_oauth.errors import InvalidTokenError

__all__ = ["BearerToken", "bearer_token_of"]

ISSUER = "ZAI"
CLOCK_SKEW = timedelta(seconds=10)
"""How far the Hub's clock may be ahead of ours; a token that has expired has expired."""

_SUBJECT = re.compile(
    r"(?:Person/(?P<person_id>[\w-]{1,255})>)?(?P<type>Person|Organization)/(?P<id>[\w-]{1,255})", re.ASCII
)
_LAST_INSTANT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class BearerToken(BaseModel):
    """What the Hub's JWT says that another app has sent (Hub documentation, "JWT"); all of it is verified.

    The subject is the bearer: a person, or an organization, for which a person may act (``on_behalf_of``).
    ``audiences`` are the apps that the token is for, the first one usually the app that sent it. ``expires_at``
    is aware, in UTC. The token itself is not kept.
    """

    model_config = ConfigDict(frozen=True)

    jti: str
    subject_type: str
    subject_id: str
    on_behalf_of: OnBehalfOf | None = None
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    expires_at: AwareDatetime

    @property
    def person_id(self) -> str | None:
        """Who acts with this token: the person, also where they act for an organization; else None."""
        if self.subject_type == "Person":
            return self.subject_id
        return self.on_behalf_of.id if self.on_behalf_of else None

    def missing_scopes(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Those of the asked scopes that were not granted."""
        return tuple(scope for scope in asked if not scope_rules.includes(self.scopes, [scope]))


def bearer_token_of(claims: Mapping[str, Any], now: datetime) -> BearerToken:
    """The claims of a JWT whose signature is good; raises InvalidTokenError. Whom it is for is not checked."""
    if claims.get("iss") != ISSUER:
        raise InvalidTokenError("The token was not issued by Zaikio.")
    expires_at = _instant(claims.get("exp"))
    if expires_at is None or expires_at <= now:
        raise InvalidTokenError("The token has expired.")
    if "nbf" in claims:
        not_before = _instant(claims["nbf"])
        if not_before is None or not_before > now + CLOCK_SKEW:
            raise InvalidTokenError("The token is not valid yet.")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise InvalidTokenError("The token has no id, so nobody could revoke it.")
    subject = _SUBJECT.fullmatch(claims["sub"]) if isinstance(claims.get("sub"), str) else None
    if subject is None or (subject["person_id"] and subject["type"] == "Person"):
        raise InvalidTokenError("The token's subject is neither a person nor an organization.")
    return BearerToken(
        jti=jti,
        subject_type=subject["type"],
        subject_id=subject["id"],
        on_behalf_of=OnBehalfOf(id=subject["person_id"]) if subject["person_id"] else None,
        audiences=_texts(claims.get("aud")),
        scopes=_scopes(claims.get("scope")),
        expires_at=expires_at,
    )


def _instant(value: Any) -> datetime | None:
    """RFC 7519 §2, NumericDate."""
    if type(value) not in (int, float) or not 0 < value < _LAST_INSTANT:
        return None
    return datetime.fromtimestamp(value, UTC)


def _texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(each for each in values if isinstance(each, str))


def _scopes(value: Any) -> tuple[str, ...]:
    return scope_rules.parse(value if isinstance(value, str) else _texts(value))
