"""An answer of the token endpoint as a value, or as the error that it is. Pure."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import REFRESH_TOKEN_LIFETIME, OnBehalfOf
from zaikio_oauth.errors import (
    BearerDoesNotExistError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
)
from zaikio_oauth.hub.http import HubAnswer

__all__ = ["TokenResponse", "instant_of", "refusal", "role_bits", "token_response"]

_SCOPE_ERRORS = frozenset(
    {
        "invalid_scope",
        "different_bearer_types",
        "malformed_scope",
        "scope_is_not_included_in_desired_scopes",
        "different_bearer_ids",
        "unpermitted_bearer_id",
        "ungranted_scope",
        "scope_was_not_granted_in_parent",
        "delegation_access_token_cannot_delegate",
        "parent_has_no_delegation_permission",
        "unpermitted_scope",
    }
)
_LONGEST_LIFETIME = timedelta(days=3650)
_BEARER_TYPES = {"Person": "Person", "Per": "Person", "Organization": "Organization", "Org": "Organization"}


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """What a token answer says (RFC 6749 §5.1 and the Hub's additions); None where it says nothing."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scopes: tuple[str, ...] | None
    audiences: tuple[str, ...]
    bearer_type: str | None
    bearer_id: str | None
    on_behalf_of: OnBehalfOf | None
    roles_told: bool
    """Whether ``on_behalf_of`` has the roles; else they may be in ``role_bits``."""
    role_bits: int | None
    expires_at: datetime | None
    refresh_expires_at: datetime | None
    jti: str | None


def token_response(answer: HubAnswer) -> TokenResponse:
    """The answer's token; raises OAuthError and its kinds for a refusal, InvalidResponseError for nonsense."""
    body = answer.body
    if answer.status_code >= 300 or (isinstance(body, dict) and ("error" in body or "errors" in body)):
        raise refusal(answer)
    if not isinstance(body, dict):
        raise InvalidResponseError("The Hub's answer is not a JSON object.")
    token = body.get("access_token")
    if not isinstance(token, str) or not token:
        raise InvalidResponseError("The Hub's answer has no access token.")
    if str(body.get("token_type") or "bearer").lower() != "bearer":
        raise InvalidResponseError("The Hub's token is of a type other than bearer.")
    claims = _claims(token)
    bearer_type, bearer_id, on_behalf_of = _bearer(body, claims)
    acting = body.get("bearer_on_behalf_of")
    roles_told = isinstance(acting, dict) and isinstance(acting.get("roles"), list)
    refresh_token = body.get("refresh_token")
    refresh_token = refresh_token if isinstance(refresh_token, str) and refresh_token else None
    jti = claims.get("jti")
    return TokenResponse(
        token=token,
        refresh_token=refresh_token,
        scopes=_scopes(body.get("scope")),
        audiences=_texts(body.get("audiences")) or _texts(claims.get("aud")),
        bearer_type=bearer_type,
        bearer_id=bearer_id,
        on_behalf_of=on_behalf_of,
        roles_told=roles_told,
        role_bits=role_bits(claims.get("roles")),
        expires_at=_expires_at(body.get("expires_in"), claims.get("exp"), answer.received_at),
        refresh_expires_at=answer.received_at + REFRESH_TOKEN_LIFETIME if refresh_token else None,
        jti=jti if isinstance(jti, str) and len(jti) <= 255 else None,
    )


def refusal(answer: HubAnswer) -> OAuthError:
    """The refusal as the right kind of error; raises InvalidResponseError when it is not one that the Hub makes."""
    body = answer.body if isinstance(answer.body, dict) else {}
    code, description = body.get("error"), body.get("error_description")
    if not isinstance(code, str):
        code, description = _first_error(body.get("errors")), None
    if not code:
        raise InvalidResponseError(f"The Hub answered {answer.status_code} without saying why.")
    code = "".join(char for char in code if " " <= char <= "~" and char not in '"\\')[:64]
    text = "".join(char for char in description if char.isprintable())[:300] if isinstance(description, str) else None
    kind = {"invalid_grant": InvalidGrantError, "bearer_does_not_exist": BearerDoesNotExistError}.get(code, OAuthError)
    if code in _SCOPE_ERRORS:
        kind = InvalidScopesError
    return kind(code, text or None, answer.status_code)


def _first_error(errors: Any) -> str | None:
    if isinstance(errors, Mapping):
        errors = next(iter(errors.values()), None)
    if isinstance(errors, list) and errors:
        errors = errors[0]
    return errors if isinstance(errors, str) else None


def _texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(each for each in values if isinstance(each, str))


def _scopes(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return scope_rules.parse(value)
    return scope_rules.parse(_texts(value))


def _bearer(body: Mapping[str, Any], claims: Mapping[str, Any]) -> tuple[str | None, str | None, OnBehalfOf | None]:
    """Whose token it is, and who acts with it: the answer says it, or else the JWT's subject."""
    subject = claims.get("sub")
    person_of_subject, _, bearer_of_subject = subject.rpartition(">") if isinstance(subject, str) else ("", "", "")
    bearer = body.get("bearer")
    if bearer is None and bearer_of_subject:
        bearer = dict(zip(("type", "id"), bearer_of_subject.split("/", 1), strict=False))
    if bearer is None:
        return None, None, None
    kind = _BEARER_TYPES.get(str(bearer.get("type"))) if isinstance(bearer, dict) else None
    identifier = bearer.get("id") if isinstance(bearer, dict) else None
    if kind is None or not isinstance(identifier, str) or not 0 < len(identifier) <= 255:
        raise InvalidResponseError("The Hub's answer names no person or organization as the bearer.")
    acting = body.get("bearer_on_behalf_of")
    if isinstance(acting, dict) and isinstance(acting.get("id"), str):
        return kind, identifier, OnBehalfOf(id=acting["id"], roles=_texts(acting.get("roles")))
    person_id = person_of_subject.partition("/")[2]
    return kind, identifier, OnBehalfOf(id=person_id) if person_id else None


def role_bits(roles: Any) -> int | None:
    """The ``roles`` claim of a JWT, when it is a bit field over the Hub's list of roles."""
    return roles if type(roles) is int and 0 <= roles < 1 << 256 else None


def _expires_at(expires_in: Any, exp: Any, received_at: datetime) -> datetime | None:
    if expires_in is None:
        return datetime.fromtimestamp(exp, UTC) if type(exp) in (int, float) and 0 < exp < 1e11 else None
    return instant_of(expires_in, received_at)


def instant_of(expires_in: Any, received_at: datetime) -> datetime:
    """When something expires: ``expires_in`` in seconds, as a number or a text, or an ISO 8601 instant.

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
                raise InvalidResponseError("The Hub's answer has an expiry that is none.") from None
            instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            seconds = (instant - received_at).total_seconds()
            seconds = max(seconds, 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InvalidResponseError("The Hub's answer has an expiry that is none.")
    if not 0 <= seconds <= _LONGEST_LIFETIME.total_seconds():
        raise InvalidResponseError("The Hub's answer has an expiry that cannot be.")
    return received_at + timedelta(seconds=seconds)


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a JWT, unverified: it came from the Hub itself; empty for an opaque token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
