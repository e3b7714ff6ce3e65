"""A successful response of the token endpoint as a value (RFC 6749 §5.1)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import ASSUMED_LIFETIME, REFRESH_TOKEN_LIFETIME, BearerType, OnBehalfOf
from zaikio_oauth.errors import InvalidResponseError
from zaikio_oauth.hub.error_response import successful_body
from zaikio_oauth.hub.http import HubResponse
from zaikio_oauth.hub.syntax import is_bearer_id, is_name, is_scope, is_token, is_token_id

__all__ = ["TokenResponse", "instant_of", "role_bits", "texts", "token_response"]

_LONGEST_LIFETIME = timedelta(days=3650)
_BEARER_TYPES: dict[str, BearerType] = {
    "Person": "Person",
    "Per": "Person",
    "Organization": "Organization",
    "Org": "Organization",
}


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful token response (RFC 6749 §5.1 and the Hub's additions); None for what it leaves out."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scopes: tuple[str, ...] | None
    audiences: tuple[str, ...]
    bearer_type: BearerType | None
    bearer_id: str | None
    on_behalf_of: OnBehalfOf | None
    has_roles: bool
    """True if ``on_behalf_of`` has the roles; otherwise they may be in ``role_bits``."""
    role_bits: int | None
    expires_at: datetime
    refresh_expires_at: datetime | None
    jti: str | None

    def require_bearer(self, bearer_type: str, bearer_id: str) -> None:
        """Raise InvalidResponseError if the response names another bearer. It need not name one."""
        if self.bearer_id is not None and (self.bearer_type, self.bearer_id) != (bearer_type, bearer_id):
            raise InvalidResponseError("The Hub answered with a token of another bearer.")


def token_response(response: HubResponse) -> TokenResponse:
    """Return the token of the response; raises OAuthError and its subclasses, InvalidResponseError."""
    body = successful_body(response)
    token = body.get("access_token")
    if not is_token(token):
        raise InvalidResponseError("The Hub's response has no access token.")
    token_type = body.get("token_type") or "bearer"
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise InvalidResponseError("The Hub's token is not of the type bearer.")
    claims = _claims(token)
    bearer_type, bearer_id, on_behalf_of = _bearer(body, claims)
    acting = body.get("bearer_on_behalf_of")
    has_roles = isinstance(acting, dict) and isinstance(acting.get("roles"), list)
    refresh_token = body.get("refresh_token") or None
    if refresh_token is not None and not is_token(refresh_token):
        raise InvalidResponseError("The Hub's response has a refresh token that is malformed.")
    jti = claims.get("jti")
    if jti is not None and not is_token_id(jti):
        raise InvalidResponseError("The Hub's token has an id that is malformed.")
    return TokenResponse(
        token=token,
        refresh_token=refresh_token,
        scopes=_scopes(body.get("scope")),
        audiences=_audiences(body.get("audiences")) or _audiences(claims.get("aud")),
        bearer_type=bearer_type,
        bearer_id=bearer_id,
        on_behalf_of=on_behalf_of,
        has_roles=has_roles,
        role_bits=role_bits(claims.get("roles")),
        expires_at=_expires_at(body.get("expires_in"), claims.get("exp"), response.received_at),
        refresh_expires_at=response.received_at + REFRESH_TOKEN_LIFETIME if refresh_token else None,
        jti=jti,
    )


def texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a JSON value that may be a text or a list."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(each for each in values if isinstance(each, str))


def _scopes(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    scopes = scope_rules.parse(value if isinstance(value, str) else texts(value))
    if not all(map(is_scope, scopes)):
        raise InvalidResponseError("The Hub's response has a scope that is malformed.")
    return scopes


def _audiences(value: Any) -> tuple[str, ...]:
    audiences = texts(value)
    if not all(map(is_name, audiences)):
        raise InvalidResponseError("The Hub's response has an audience that is malformed.")
    return audiences


def _bearer(
    body: Mapping[str, Any], claims: Mapping[str, Any]
) -> tuple[BearerType | None, str | None, OnBehalfOf | None]:
    """Return the bearer's type and id and who acts for it, from the response or else from the JWT's subject."""
    subject = claims.get("sub")
    person_of_subject, _, bearer_of_subject = subject.rpartition(">") if isinstance(subject, str) else ("", "", "")
    bearer = body.get("bearer")
    if bearer is None and bearer_of_subject:
        bearer = dict(zip(("type", "id"), bearer_of_subject.split("/", 1), strict=False))
    if bearer is None:
        return None, None, None
    named = bearer if isinstance(bearer, dict) else {}
    kind, identifier = named.get("type"), named.get("id")
    if not isinstance(kind, str) or kind not in _BEARER_TYPES or not is_bearer_id(identifier):
        raise InvalidResponseError("The Hub's response names no person or organization as the bearer.")
    return _BEARER_TYPES[kind], identifier, _on_behalf_of(body.get("bearer_on_behalf_of"), person_of_subject)


def _on_behalf_of(acting: Any, person_of_subject: str) -> OnBehalfOf | None:
    roles: tuple[str, ...] = ()
    person_id: Any = person_of_subject.partition("/")[2]
    if isinstance(acting, dict):
        person_id, roles = acting.get("id"), texts(acting.get("roles"))
    elif not person_id:
        return None
    if not is_bearer_id(person_id) or not all(map(is_name, roles)):
        raise InvalidResponseError("The Hub's response does not name the person who acts for the bearer.")
    return OnBehalfOf(id=person_id, roles=roles)


def role_bits(roles: Any) -> int | None:
    """Return the ``roles`` claim of a JWT if it is a bit field over the Hub's list of roles, else None."""
    return roles if type(roles) is int and 0 <= roles < 1 << 256 else None


def _expires_at(expires_in: Any, exp: Any, received_at: datetime) -> datetime:
    if expires_in is None:
        stated = type(exp) in (int, float) and 0 < exp < 1e11
        return datetime.fromtimestamp(exp, UTC) if stated else received_at + ASSUMED_LIFETIME
    return instant_of(expires_in, received_at)


def instant_of(expires_in: Any, received_at: datetime) -> datetime:
    """Return the instant of ``expires_in``, which may be seconds, as number or text, or an ISO 8601 instant.

    Raises InvalidResponseError for anything else.
    """
    seconds = expires_in
    if isinstance(expires_in, str):
        try:
            seconds = float(expires_in)
        except ValueError:
            try:
                instant = datetime.fromisoformat(expires_in)
            except ValueError:
                raise InvalidResponseError("The Hub's response has an expiry that is malformed.") from None
            instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            seconds = (instant - received_at).total_seconds()
            seconds = max(seconds, 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidResponseError("The Hub's response has an expiry that is malformed.")
    # Also false for NaN. No function of math, because those raise OverflowError for an int of hundreds of digits.
    if not 0 <= seconds <= _LONGEST_LIFETIME.total_seconds():
        raise InvalidResponseError("The Hub's response has an expiry that is out of range.")
    return received_at + timedelta(seconds=seconds)


def _claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a JWT, or none for an opaque token. Not verified, because it came from the Hub itself."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
