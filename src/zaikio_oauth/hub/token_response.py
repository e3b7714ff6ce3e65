"""A response of the token endpoint as a value, or as the error that it stands for."""

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
from zaikio_oauth.hub.http import HubResponse

__all__ = ["TokenResponse", "instant_of", "oauth_error", "role_bits", "successful_body", "token_response"]

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
    """A successful token response (RFC 6749 §5.1 and the Hub's additions); None for what it leaves out."""

    token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scopes: tuple[str, ...] | None
    audiences: tuple[str, ...]
    bearer_type: str | None
    bearer_id: str | None
    on_behalf_of: OnBehalfOf | None
    has_roles: bool
    """True if ``on_behalf_of`` has the roles; otherwise they may be in ``role_bits``."""
    role_bits: int | None
    expires_at: datetime | None
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
    if not isinstance(token, str) or not token:
        raise InvalidResponseError("The Hub's response has no access token.")
    if str(body.get("token_type") or "bearer").lower() != "bearer":
        raise InvalidResponseError("The Hub's token is not of the type bearer.")
    claims = _claims(token)
    bearer_type, bearer_id, on_behalf_of = _bearer(body, claims)
    acting = body.get("bearer_on_behalf_of")
    has_roles = isinstance(acting, dict) and isinstance(acting.get("roles"), list)
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
        has_roles=has_roles,
        role_bits=role_bits(claims.get("roles")),
        expires_at=_expires_at(body.get("expires_in"), claims.get("exp"), response.received_at),
        refresh_expires_at=response.received_at + REFRESH_TOKEN_LIFETIME if refresh_token else None,
        jti=jti if isinstance(jti, str) and len(jti) <= 255 else None,
    )


def successful_body(response: HubResponse) -> Mapping[str, Any]:
    """Return the JSON object of a successful response; raises OAuthError and its subclasses, InvalidResponseError.

    A body with an error is an error whatever its status.
    """
    body = response.body
    if response.status_code >= 300 or (isinstance(body, dict) and ("error" in body or "errors" in body)):
        raise oauth_error(response)
    if not isinstance(body, dict):
        raise InvalidResponseError("The Hub's response is not a JSON object.")
    return body


def oauth_error(response: HubResponse) -> OAuthError:
    """Return an error response as the right subclass of OAuthError; raises InvalidResponseError if it is not one."""
    body = response.body if isinstance(response.body, dict) else {}
    code, description = body.get("error"), body.get("error_description")
    if not isinstance(code, str):
        code, description = _first_error(body.get("errors")), None
    if not code:
        raise InvalidResponseError(f"The Hub answered {response.status_code} without an error code.")
    code = "".join(char for char in code if " " <= char <= "~" and char not in '"\\')[:64]
    text = "".join(char for char in description if char.isprintable())[:300] if isinstance(description, str) else None
    kind = {"invalid_grant": InvalidGrantError, "bearer_does_not_exist": BearerDoesNotExistError}.get(code, OAuthError)
    if code in _SCOPE_ERRORS:
        kind = InvalidScopesError
    return kind(code, text or None, response.status_code)


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
    """Return the bearer's type and id and who acts for it, from the response or else from the JWT's subject."""
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
        raise InvalidResponseError("The Hub's response names no person or organization as the bearer.")
    acting = body.get("bearer_on_behalf_of")
    if isinstance(acting, dict) and isinstance(acting.get("id"), str):
        return kind, identifier, OnBehalfOf(id=acting["id"], roles=_texts(acting.get("roles")))
    person_id = person_of_subject.partition("/")[2]
    return kind, identifier, OnBehalfOf(id=person_id) if person_id else None


def role_bits(roles: Any) -> int | None:
    """Return the ``roles`` claim of a JWT if it is a bit field over the Hub's list of roles, else None."""
    return roles if type(roles) is int and 0 <= roles < 1 << 256 else None


def _expires_at(expires_in: Any, exp: Any, received_at: datetime) -> datetime | None:
    if expires_in is None:
        return datetime.fromtimestamp(exp, UTC) if type(exp) in (int, float) and 0 < exp < 1e11 else None
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
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InvalidResponseError("The Hub's response has an expiry that is malformed.")
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
