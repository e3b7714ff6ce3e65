"""The bearer of a token: a person or an organization."""

from __future__ import annotations

from dataclasses import dataclass

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.testing.local_hub.state.directory import Directory, HubPerson
from zaikio_oauth.testing.local_hub.state.requested_scopes import RequestedScopes, ScopeError

__all__ = ["Bearer", "bearer_for"]


@dataclass(frozen=True, slots=True)
class Bearer:
    """The owner of a token. ``person_id`` and ``roles`` are those of a person who acts on behalf of the owner."""

    type: BearerType
    id: str
    person_id: str | None = None
    roles: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The value of the JWT's ``sub`` claim."""
        behalf = f"Person/{self.person_id}>" if self.person_id else ""
        return f"{behalf}{self.type}/{self.id}"


def bearer_for(
    directory: Directory, requested: RequestedScopes, person: HubPerson | None, organization_id: str | None
) -> Bearer:
    """Return the bearer of the token that this person grants for that organization, or for their first one.

    Raises ScopeError if the person may not grant it.
    """
    if person is None or requested.person_id not in (None, person.id):
        raise ScopeError("unpermitted_bearer_id")
    if not requested.needs_organization:
        return Bearer("Person", person.id)
    chosen = requested.organization_id or organization_id or next(iter(dict(person.memberships)), "")
    roles = person.roles_in(chosen)
    if directory.organization(chosen) is None:
        raise ScopeError("bearer_does_not_exist")
    if roles is None:
        raise ScopeError("unpermitted_bearer_id")
    return Bearer("Organization", chosen, person.id, roles) if requested.on_behalf else Bearer("Organization", chosen)
