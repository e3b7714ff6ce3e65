"""Test data: constants, and functions that build values with optional changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from zaikio_oauth import AccessToken, OnBehalfOf

KEY = "q0gQkeYGmvqMHmRpgPUMhFIyPJNCwyC0OBqVqo5JjXw="
OTHER_KEY = "cIZEoqu2zVfE9sEoOsJqNkj4MrE0OvtuCKw7FHkUVfg="
SECRET = "a-client-secret-that-nobody-sees"
PERSON_ID = "383663bc-149a-5b76-b50d-ee039046c12e"
ORGANIZATION_ID = "b1475f65-236c-58b8-96e1-e1778b43beb7"


TOKEN_RESPONSE = {
    "access_token": "an-opaque-token",
    "audiences": ["warehouse"],
    "scope": "zaikio.person.r",
    "expires_in": 3600,
    "bearer": {"id": "29b2", "type": "Person"},
}


def some_client(**changes: Any) -> dict[str, Any]:
    """Return the settings of the client ``warehouse``, for which ``LocalHub`` has an app, as JSON values."""
    return {
        "client_id": "warehouse-id",
        "client_secret": SECRET,
        "default_scopes": ["zaikio.person.r"],
        "organization_scopes": ["zaikio.organization.r"],
        **changes,
    }


def some_access_token(**changes: Any) -> AccessToken:
    """Return a person's token that is valid for an hour and has a refresh token."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "id": "",
        "jti": "6f0e1a6e-0c6b-4f0a-8d2e-2d4c0f1f5a11",
        "audience": "warehouse",
        "bearer_type": "Person",
        "bearer_id": PERSON_ID,
        "scopes": ("zaikio.person.r", "zaikio.sites.rw"),
        "requested_scopes": ("zaikio.person.r", "zaikio.sites.rw"),
        "token": "the-secret-access-token",
        "refresh_token": "the-secret-refresh-token",
        "expires_at": now + timedelta(hours=1),
        "refresh_expires_at": now + timedelta(days=7),
        "created_at": now,
    }
    return AccessToken(**values | changes)


def some_on_behalf_of() -> OnBehalfOf:
    """Return the person of these tests, who acts for an organization."""
    return OnBehalfOf(id=PERSON_ID, roles=("owner", "admin"))
