"""The people, organizations and apps that a local Hub knows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from zaikio_oauth.testing.local_hub.state.requested_scopes import scopes_of

__all__ = ["BASE_URLS", "ROLES", "Directory", "HubApp", "HubOrganization", "HubPerson"]

ROLES = ("owner", "admin", "billing", "production", "purchasing", "sales")
"""The Hub's roles. The index of a role is its bit in a token's ``roles``."""

BASE_URLS = ("http://localhost:8000", "http://127.0.0.1:8000", "http://testserver")
"""The addresses at which an app in development is expected."""

_CLIENT_ID = "52022d7a-7ba2-41ed-8890-97d88e6472f6"
_CLIENT_SECRET = "local-hub-secret-of-the-warehouse"  # noqa: S105 (public, and of no use at the real Hub)


@dataclass(frozen=True, slots=True)
class HubOrganization:
    """An organization. ``country_code`` is that of ISO 3166-1; ``kinds`` are the Hub's, such as ``printer``.

    hub.organizations = [HubOrganization(id=organization_id, name="Printing House", kinds=("printer",))]
    """

    id: str
    name: str
    country_code: str = "DE"
    kinds: tuple[str, ...] = ("printer",)


@dataclass(frozen=True, slots=True)
class HubPerson:
    """A person. ``memberships`` pairs the id of each organization with the person's roles in it."""

    id: str
    first_name: str
    name: str
    email: str
    locale: str = "en"
    memberships: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def full_name(self) -> str:
        """First name and last name."""
        return f"{self.first_name} {self.name}"

    def roles_in(self, organization_id: str) -> tuple[str, ...] | None:
        """Return the person's roles in the organization, or None if they are not a member."""
        return dict(self.memberships).get(organization_id)


@dataclass(frozen=True, slots=True)
class HubApp:
    """An app that is registered at the Hub.

    ``name`` is the audience of its tokens, ``redirect_uris`` are its registered callbacks, and ``plans`` are what an
    organization can subscribe to. Without a ``client_secret`` it is non-confidential. Without
    ``desired_scopes``, a list or one string, it may request any scope.
    """

    name: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    desired_scopes: tuple[str, ...] | None = None
    plans: tuple[str, ...] = ("free", "pro")

    if TYPE_CHECKING:
        # What may be given, which is more than what the fields hold.
        def __init__(
            self,
            name: str,
            client_id: str,
            client_secret: str | None = None,
            redirect_uris: tuple[str, ...] = (),
            desired_scopes: str | Iterable[str] | None = None,
            plans: tuple[str, ...] = ("free", "pro"),
        ) -> None: ...

    @property
    def title(self) -> str:
        """The name as the Hub's pages show it: ``my_app`` is "My App"."""
        return " ".join(word[0].upper() + word[1:] for word in self.name.replace("_", " ").split())

    def __post_init__(self) -> None:
        if self.desired_scopes is not None:
            object.__setattr__(self, "desired_scopes", scopes_of(self.desired_scopes))

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
        """Return the app of a configured client, with the callbacks of its router registered for each base URL."""
        callbacks = tuple(
            f"{base_url.rstrip('/')}{prefix}{named}/{route}/approve"
            for base_url in base_urls
            for named in ("", f"/{name}")
            for route in ("sessions", "connections")
        )
        return cls(name, client_id, client_secret, callbacks)


_ORGANIZATIONS = (
    HubOrganization("b1475f65-236c-58b8-96e1-e1778b43beb7", "Druckhaus Möller GmbH"),
    HubOrganization("8b6a2c0e-5f0e-4f3c-9d5c-0d8f6a1c7e21", "Nordlicht Offset & Digital"),
    HubOrganization("f2d3c1a4-9a0b-4d55-8a4e-6f9f0c1b2a37", "Papierwerke Süd AG", kinds=("supplier",)),
)
_PEOPLE = (
    HubPerson(
        "383663bc-149a-5b76-b50d-ee039046c12e",
        "Anna",
        "Möller",
        "anna.moeller@druckhaus-moeller.example",
        "de",
        ((_ORGANIZATIONS[0].id, ("owner", "admin")), (_ORGANIZATIONS[1].id, ("purchasing",))),
    ),
    HubPerson(
        "9c7f6d5e-4b3a-4210-8fed-cba987654321",
        "Ben",
        "Okafor",
        "ben@nordlicht-print.example",
        "en",
        ((_ORGANIZATIONS[1].id, ("admin", "production")),),
    ),
    HubPerson(
        "5a4b3c2d-1e0f-4a9b-8c7d-6e5f4a3b2c1d",
        "Chloë",
        "Lindqvist",
        "chloe.lindqvist@papierwerke.example",
        "en",
        ((_ORGANIZATIONS[2].id, ("owner",)),),
    ),
)


class Directory:
    """The people, organizations and apps, which may be changed at any time."""

    def __init__(
        self,
        apps: Iterable[HubApp] | None,
        people: Iterable[HubPerson] | None,
        organizations: Iterable[HubOrganization] | None,
    ) -> None:
        default = HubApp.for_client("warehouse", _CLIENT_ID, _CLIENT_SECRET, base_urls=BASE_URLS)
        self.apps: list[HubApp] = list(apps) if apps is not None else [default]
        self.people: list[HubPerson] = list(people if people is not None else _PEOPLE)
        self.organizations: list[HubOrganization] = list(organizations if organizations is not None else _ORGANIZATIONS)

    def app_of(self, client_id: str) -> HubApp | None:
        """Return the app with this client id."""
        return next((app for app in self.apps if app.client_id == client_id), None)

    def person(self, person_id: str) -> HubPerson | None:
        """Return the person with this id."""
        return next((person for person in self.people if person.id == person_id), None)

    def organization(self, organization_id: str) -> HubOrganization | None:
        """Return the organization with this id."""
        return next((each for each in self.organizations if each.id == organization_id), None)

    def organizations_of(self, person_id: str) -> list[HubOrganization]:
        """Return the organizations that the person is a member of."""
        person = self.person(person_id)
        return [each for each in self.organizations if person and person.roles_in(each.id) is not None]

    def add_person(self, first_name: str, name: str, email: str) -> HubPerson:
        """Add a person and an organization that they own."""
        organization = HubOrganization(str(uuid.uuid4()), f"{name} Print")
        person = HubPerson(str(uuid.uuid4()), first_name, name, email, memberships=((organization.id, ("owner",)),))
        self.organizations.append(organization)
        self.people.append(person)
        return person

    def add_organization(
        self, name: str, owner_id: str, country_code: str = "DE", kinds: Iterable[str] = ()
    ) -> HubOrganization:
        """Add an organization that this person owns."""
        organization = HubOrganization(str(uuid.uuid4()), name, country_code, tuple(kinds) or ("printer",))
        self.organizations.append(organization)
        joined = ((organization.id, ("owner",)),)
        self.people[:] = [
            replace(person, memberships=person.memberships + joined) if person.id == owner_id else person
            for person in self.people
        ]
        return organization
