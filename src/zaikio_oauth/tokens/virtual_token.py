"""Access tokens for an app's own tests, which are neither stored nor known to the Hub.

Their id contains everything. They are accepted only if ``environment`` is ``test``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, unquote, urlencode

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken, OnBehalfOf

__all__ = ["VirtualGrant"]

_PREFIX = "virtual"
_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class VirtualGrant:
    """What a virtual token is about. ``client_name`` is empty for the default client.

    ``scopes``: None for those of the client. ``organization_id``: the organization on whose behalf the person acts,
    with these ``roles``; None if for none.
    """

    client_name: str
    person_id: str
    scopes: tuple[str, ...] | None = None
    organization_id: str | None = None
    roles: tuple[str, ...] = ()

    @property
    def access_token_id(self) -> str:
        """The id of the token, which says all of it."""
        details = {
            "scopes": None if self.scopes is None else scope_rules.join(self.scopes),
            "organization": self.organization_id,
            "roles": ",".join(self.roles) or None,
        }
        query = urlencode({name: value for name, value in details.items() if value is not None}, safe=",")
        return f"{_PREFIX}:{self.client_name}:{quote(self.person_id, safe=':')}{'?' if query else ''}{query}"

    @classmethod
    def parse(cls, access_token_id: str) -> VirtualGrant | None:
        """Return what the id of a virtual token says; None for any other id."""
        prefix, _, rest = access_token_id.partition(":")
        client_name, separator, rest = rest.partition(":")
        person_id, _, query = rest.partition("?")
        if prefix != _PREFIX or not separator or not person_id:
            return None
        details = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        return cls(
            client_name,
            unquote(person_id),
            scope_rules.parse(details["scopes"]) if "scopes" in details else None,
            details.get("organization") or None,
            tuple(role for role in details.get("roles", "").split(",") if role),
        )

    def token(self, client_name: str, default_scopes: Iterable[str]) -> AccessToken:
        """Return the token, for the client of this name and with these scopes unless it has its own."""
        now = datetime.now(UTC)
        requested = tuple(default_scopes) if self.scopes is None else self.scopes
        organization = self.organization_id
        return AccessToken(
            id=VirtualGrant(client_name, self.person_id, self.scopes, organization, self.roles).access_token_id,
            audience=client_name,
            bearer_type="Organization" if organization else "Person",
            bearer_id=organization or self.person_id,
            on_behalf_of=OnBehalfOf(id=self.person_id, roles=self.roles) if organization else None,
            scopes=tuple(dict.fromkeys(map(scope_rules.unprefixed, requested))),
            requested_scopes=requested,
            token=f"virtual-token-of-{self.person_id}",
            expires_at=now + _LIFETIME,
            created_at=now,
        )
