"""Who and what a local Hub knows: people, organizations, apps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["ROLES", "HubApp", "HubOrganization", "HubPerson"]

ROLES = ("owner", "admin", "billing", "production", "purchasing", "sales")
"""The Hub's roles; the position is the bit in a token's ``roles``."""

DEFAULT_CLIENT_ID = "52022d7a-7ba2-41ed-8890-97d88e6472f6"
DEFAULT_CLIENT_SECRET = "local-hub-secret-of-the-warehouse"  # noqa: S105 (known to everybody, and good for nothing)


@dataclass(frozen=True, slots=True)
class HubOrganization:
    """An organization."""

    id: str
    name: str
    country_code: str = "DE"
    kinds: tuple[str, ...] = ("printer",)


@dataclass(frozen=True, slots=True)
class HubPerson:
    """A person; ``memberships`` are the roles that they have in each organization, by its id."""

    id: str
    first_name: str
    name: str
    email: str
    locale: str = "en"
    memberships: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def full_name(self) -> str:
        """First name and name."""
        return f"{self.first_name} {self.name}"

    def roles_in(self, organization_id: str) -> tuple[str, ...] | None:
        """The person's roles there; None for somebody who is not a member."""
        return dict(self.memberships).get(organization_id)


@dataclass(frozen=True, slots=True)
class HubApp:
    """An app as registered at the Hub.

    ``client_secret`` None makes it non-confidential. ``desired_scopes`` None lets it ask for any scope.
    """

    name: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    desired_scopes: tuple[str, ...] | None = None
    plans: tuple[str, ...] = ("free", "pro")

    @classmethod
    def for_client(
        cls,
        name: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        base_urls: Iterable[str] = ("http://localhost:8000",),
        prefix: str = "/zaikio",
    ) -> HubApp:
        """The app of a configured client, with the callbacks of our routers below each base URL registered."""
        callbacks = tuple(
            f"{base_url.rstrip('/')}{prefix}{named}/{route}/approve"
            for base_url in base_urls
            for named in ("", f"/{name}")
            for route in ("sessions", "connections")
        )
        return cls(name, client_id, client_secret, callbacks)


ORGANIZATIONS = (
    HubOrganization("b1475f65-236c-58b8-96e1-e1778b43beb7", "Druckhaus Möller GmbH"),
    HubOrganization("8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21", "Nordlicht Offset & Digital"),
    HubOrganization("f2d3c1a4-9a0b-4d55-8a4e-6f9f0c1b2a37", "Papierwerke Süd AG", kinds=("supplier",)),
)
PEOPLE = (
    HubPerson(
        "383663bc-149a-5b76-b50d-ee039046c12e",
        "Anna",
        "Möller",
        "anna.moeller@druckhaus-moeller.example",
        "de",
        ((ORGANIZATIONS[0].id, ("owner", "admin")), (ORGANIZATIONS[1].id, ("purchasing",))),
    ),
    HubPerson(
        "9c7f6d5e-4b3a-4210-8fed-cba987654321",
        "Ben",
        "Okafor",
        "ben@nordlicht-print.example",
        "en",
        ((ORGANIZATIONS[1].id, ("admin", "production")),),
    ),
    HubPerson(
        "5a4b3c2d-1e0f-4a9b-8c7d-6e5f4a3b2c1d",
        "Chloë",
        "Lindqvist",
        "chloe.lindqvist@papierwerke.example",
        "en",
        ((ORGANIZATIONS[2].id, ("owner",)),),
    ),
)
