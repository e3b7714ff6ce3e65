"""An error response of the Hub as the error that it stands for (RFC 6749 §5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zaikio_oauth.errors import (
    BearerDoesNotExistError,
    InvalidGrantError,
    InvalidResponseError,
    InvalidScopesError,
    OAuthError,
)
from zaikio_oauth.hub.http import HubResponse

__all__ = ["oauth_error", "successful_body"]

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
    # RFC 6749 §5.2 names the characters. Those of a code appear in logs and on pages.
    code = "".join(char for char in code or "" if " " <= char <= "~" and char not in '"\\')[:64].strip()
    if not code:
        raise InvalidResponseError(f"The Hub answered {response.status_code} without an error code.")
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
