"""BearerToken: what a verified bearer token says, and which claims are acceptable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import OnBehalfOf
from zaikio_oauth.errors import InvalidTokenError

__all__ = ["BearerToken"]

ISSUER = "ZAI"
CLOCK_SKEW = timedelta(seconds=10)
"""How far the Hub's clock may be ahead of ours. There is no such tolerance for ``exp``."""

_SUBJECT = re.compile(
    r"(?:Person/(?P<person_id>[\w-]{1,255})>)?(?P<type>Person|Organization)/(?P<id>[\w-]{1,255})", re.ASCII
)
_LAST_INSTANT = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class BearerToken(BaseModel):
    """The content of a verified JWT of the Hub that another app has sent (Hub documentation, "JWT").

    The subject is the bearer: a person, or an organization for which a person may act (``on_behalf_of``).
    ``audiences`` are the apps for which the token is, usually first the app that sent it. ``expires_at`` is aware, in
    UTC. The token itself is not kept.

        @app.get("/catalog")
        async def catalog(token: Annotated[BearerToken, Security(bearer_token, scopes=["my_app.catalog.r"])]):
            return {"catalog of": token.subject_id}
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
        """The id of the person who acts with this token, also on behalf of an organization; None if nobody does."""
        if self.subject_type == "Person":
            return self.subject_id
        return self.on_behalf_of.id if self.on_behalf_of else None

    def missing_scopes(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Return those of the ``needed`` scopes that were not granted; ``x.y.rw`` includes ``x.y.r``."""
        return scope_rules.missing(self.scopes, needed)

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any], now: datetime) -> BearerToken:
        """Return the token of a JWT with a valid signature; raises InvalidTokenError. The audience is not checked."""
        expires_at = _check_issuer_and_time(claims, now)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= 255:
            raise InvalidTokenError("The token has no id, so nobody could revoke it.")
        subject = _SUBJECT.fullmatch(claims["sub"]) if isinstance(claims.get("sub"), str) else None
        if subject is None or (subject["person_id"] and subject["type"] == "Person"):
            raise InvalidTokenError("The token's subject is neither a person nor an organization.")
        return cls(
            jti=jti,
            subject_type=subject["type"],
            subject_id=subject["id"],
            on_behalf_of=OnBehalfOf(id=subject["person_id"]) if subject["person_id"] else None,
            audiences=_texts(claims.get("aud")),
            scopes=_scopes(claims.get("scope")),
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
    """Return a NumericDate (RFC 7519 §2) as an instant, or None if it is none."""
    if type(value) not in (int, float) or not 0 < value < _LAST_INSTANT:
        return None
    return datetime.fromtimestamp(value, UTC)


def _texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(each for each in values if isinstance(each, str))


def _scopes(value: Any) -> tuple[str, ...]:
    return scope_rules.parse(value if isinstance(value, str) else _texts(value))
