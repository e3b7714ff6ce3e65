"""Access tokens for an app's own tests, which are neither stored nor known to the Hub.

Their id contains everything. They are accepted only if ``environment`` is ``test``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken

__all__ = ["parse_virtual_id", "virtual_id", "virtual_token"]

_PREFIX = "virtual"
_LIFETIME = timedelta(hours=1)


def virtual_id(person_id: str, client_name: str | None = None) -> str:
    """Return the id of this person's virtual token, for the named client or the default one."""
    return f"{_PREFIX}:{client_name or ''}:{person_id}"


def parse_virtual_id(access_token_id: str) -> tuple[str, str] | None:
    """Return the client's name, empty for the default one, and the person's id; None for any other id."""
    prefix, _, rest = access_token_id.partition(":")
    client_name, separator, person_id = rest.partition(":")
    return (client_name, person_id) if prefix == _PREFIX and separator and person_id else None


def virtual_token(client_name: str, person_id: str, scopes: str | Iterable[str]) -> AccessToken:
    """Return this person's virtual token with these scopes."""
    now = datetime.now(UTC)
    named = scope_rules.parse(scopes)
    return AccessToken(
        id=virtual_id(person_id, client_name),
        audience=client_name,
        bearer_type="Person",
        bearer_id=person_id,
        scopes=named,
        requested_scopes=named,
        token=f"virtual-token-of-{person_id}",
        expires_at=now + _LIFETIME,
        created_at=now,
    )
