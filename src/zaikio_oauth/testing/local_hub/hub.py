"""LocalHub: a Zaikio Hub in a box."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.testing.local_hub.accounts import Accounts
from zaikio_oauth.testing.local_hub.api import Api
from zaikio_oauth.testing.local_hub.authorize import Authorize
from zaikio_oauth.testing.local_hub.consent import bearer_of
from zaikio_oauth.testing.local_hub.delegation import Delegation
from zaikio_oauth.testing.local_hub.device import Device
from zaikio_oauth.testing.local_hub.device_codes import DeviceCode, DeviceCodes
from zaikio_oauth.testing.local_hub.directory import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    ORGANIZATIONS,
    PEOPLE,
    HubApp,
    HubOrganization,
    HubPerson,
)
from zaikio_oauth.testing.local_hub.faults import Faults
from zaikio_oauth.testing.local_hub.grants import Bearer, Grants
from zaikio_oauth.testing.local_hub.home import Home
from zaikio_oauth.testing.local_hub.loom import revoked_access_token_event
from zaikio_oauth.testing.local_hub.request_log import HubRequest, Watch
from zaikio_oauth.testing.local_hub.requested_scopes import read_scopes
from zaikio_oauth.testing.local_hub.signing_keys import SigningKeys
from zaikio_oauth.testing.local_hub.token_endpoint import TokenEndpoint

__all__ = ["LocalHub"]

_BASE_URLS = ("http://localhost:8000", "http://127.0.0.1:8000", "http://testserver")


class LocalHub:
    """A Zaikio Hub in a box: an ASGI app with the Hub's pages, grants, keys and API.

    ``apps`` default to one named ``warehouse`` whose callbacks below ``/zaikio`` are registered for
    ``http://localhost:8000``, ``http://127.0.0.1:8000`` and ``http://testserver``. ``clock`` gives seconds
    since the epoch. The lifetimes and the device's interval are seconds and may be changed at any time, as
    may ``expires_in_format`` (``seconds``, ``string``, ``iso8601``), ``opaque_tokens`` and ``withheld_scopes``
    (what is left out of every grant). Raises ConfigurationError in ``production``.
    """

    def __init__(
        self,
        apps: Iterable[HubApp] | None = None,
        *,
        people: Iterable[HubPerson] | None = None,
        organizations: Iterable[HubOrganization] | None = None,
        environment: str | None = None,
        clock: Callable[[], float] = time.time,
        code_lifetime: float = 300.0,
        access_token_lifetime: float = 3600.0,
        refresh_token_lifetime: float = 7 * 24 * 3600.0,
        device_code_lifetime: float = 900.0,
        device_interval: float = 5.0,
    ) -> None:
        if (environment or os.environ.get("ZAIKIO_ENVIRONMENT")) == "production":
            raise ConfigurationError("The local Hub lets anybody in and does not run in production.")
        default = HubApp.for_client("warehouse", DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, base_urls=_BASE_URLS)
        self.apps = list(apps) if apps is not None else [default]
        self.people = list(people if people is not None else PEOPLE)
        self.organizations = list(organizations if organizations is not None else ORGANIZATIONS)
        self.clock = clock
        self.code_lifetime = code_lifetime
        self.access_token_lifetime = access_token_lifetime
        self.refresh_token_lifetime = refresh_token_lifetime
        self.device_code_lifetime = device_code_lifetime
        self.device_interval = device_interval
        self.expires_in_format: Literal["seconds", "string", "iso8601"] = "seconds"
        self.withheld_scopes: frozenset[str] = frozenset()
        self.consent: tuple[str, str | None] | Literal["cancel"] | None = None
        self.requests: list[HubRequest] = []
        self.grants = Grants(SigningKeys(), clock)
        self.device_codes = DeviceCodes(clock)
        self._faults = Faults()
        accounts = Accounts(self)
        rooms = (Home(self), accounts, Authorize(self, accounts), TokenEndpoint(self), Device(self, accounts))
        routes = [route for room in (*rooms, Delegation(self), Api(self)) for route in room.routes()]
        self._app = Starlette(routes=routes, middleware=[Middleware(Watch, hub=self)])

    def __repr__(self) -> str:
        return f"<LocalHub {[app.name for app in self.apps]}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        await self._app(scope, receive, send)

    @classmethod
    def for_settings(
        cls, settings: Any, base_urls: Iterable[str] = _BASE_URLS, prefix: str = "/zaikio", **options: Any
    ) -> LocalHub:
        """A Hub where every client of these settings is registered, with its callbacks below each base URL."""
        urls = tuple(base_urls)
        apps = [
            HubApp.for_client(
                name,
                client.client_id,
                client.client_secret.get_secret_value() if client.client_secret else None,
                base_urls=urls,
                prefix=prefix,
            )
            for name, client in settings.clients.items()
        ]
        return cls(apps, environment=settings.environment, **options)

    # --- who is there -------------------------------------------------------------------------------------

    def app_of(self, client_id: str) -> HubApp | None:
        """The app of that client id."""
        return next((app for app in self.apps if app.client_id == client_id), None)

    def person(self, person_id: str) -> HubPerson | None:
        """The person of that id."""
        return next((person for person in self.people if person.id == person_id), None)

    def organization(self, organization_id: str) -> HubOrganization | None:
        """The organization of that id."""
        return next((each for each in self.organizations if each.id == organization_id), None)

    def organizations_of(self, person_id: str) -> list[HubOrganization]:
        """Where the person is a member."""
        person = self.person(person_id)
        return [each for each in self.organizations if person and person.roles_in(each.id) is not None]

    def add_person(self, first_name: str, name: str, email: str) -> HubPerson:
        """Somebody new, who has an organization of their own."""
        organization = HubOrganization(str(uuid.uuid4()), f"{name} Print")
        person = HubPerson(str(uuid.uuid4()), first_name, name, email, memberships=((organization.id, ("owner",)),))
        self.organizations.append(organization)
        self.people.append(person)
        return person

    def add_organization(
        self, name: str, owner_id: str, country_code: str = "DE", kinds: Iterable[str] = ()
    ) -> HubOrganization:
        """A new organization, which that person owns."""
        organization = HubOrganization(str(uuid.uuid4()), name, country_code, tuple(kinds) or ("printer",))
        self.organizations.append(organization)
        joined = ((organization.id, ("owner",)),)
        self.people[:] = [
            replace(person, memberships=person.memberships + joined) if person.id == owner_id else person
            for person in self.people
        ]
        return organization

    # --- what the people do, without a browser ------------------------------------------------------------

    def auto_consent(self, person_id: str, organization_id: str | None = None) -> None:
        """From now on this person grants what is asked without a page, for this organization or their first."""
        self.consent = (person_id, organization_id)

    def auto_cancel(self) -> None:
        """From now on everybody cancels, without a page."""
        self.consent = "cancel"

    def ask(self) -> None:
        """Show the consent page again."""
        self.consent = None

    def mint_code(
        self,
        client_id: str,
        redirect_uri: str,
        person_id: str,
        scope: str,
        *,
        organization_id: str | None = None,
        code_challenge: str | None = None,
    ) -> str:
        """A code as this person's consent would give it, without a request. Raises ValueError for what is refused."""
        app, bearer, scopes = self._granted(client_id, scope, person_id, organization_id)
        options: dict[str, Any] = {"redirect_uri": redirect_uri, "code_challenge": code_challenge}
        return self.grants.issue_code(app, bearer, scopes, lifetime=self.code_lifetime, **options).value

    def mint_token(
        self,
        client_id: str,
        person_id: str,
        scope: str,
        *,
        organization_id: str | None = None,
        issuer: str = "http://hub.zaikio.test",
    ) -> str:
        """An access token as a login would give it; ``issuer`` is the Hub's address, for ``jku``. Raises ValueError."""
        app, bearer, scopes = self._granted(client_id, scope, person_id, organization_id)
        options: dict[str, Any] = {"issuer": issuer, "refresh_lifetime": None}
        return self.grants.issue(app, bearer, scopes, lifetime=self.access_token_lifetime, **options).token

    def approve_device(self, user_code: str, person_id: str, organization_id: str | None = None) -> None:
        """This person types the code in and grants, for this organization or their first.

        Raises LookupError when no device waits with it, ValueError when the person may not.
        """
        code = self._waiting(user_code)
        bearer = bearer_of(self, code.requested, self.person(person_id), organization_id)
        self.device_codes.answer(code, (bearer, self.granted_part(code.requested.scopes)))

    def deny_device(self, user_code: str) -> None:
        """Somebody types the code in and cancels. Raises LookupError."""
        self.device_codes.answer(self._waiting(user_code), "access_denied")

    def grant(self, client_id: str, bearer_type: str, bearer_id: str, scopes: Iterable[str]) -> None:
        """Let the bearer have granted these scopes (without prefix) to the app already, for client credentials."""
        self.grants.grant(client_id, Bearer(bearer_type, bearer_id), tuple(scopes))

    def granted_part(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """What of it the Hub grants: all but ``withheld_scopes``."""
        return tuple(scope for scope in scopes if scope not in self.withheld_scopes)

    def revoke(self, jti: str) -> None:
        """Revoke the access token of that id."""
        self.grants.revoke(jti)

    def webhook_event(
        self, jti: str, secret: str, *, name: str = "zaikio.revoked_access_token"
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the event by which Loom tells an app that this token is revoked."""
        return revoked_access_token_event(jti, self.grants.bearer_of(jti), secret, name=name, at=self.clock())

    def rotate_signing_key(self) -> None:
        """Sign with a new key from now on; the old one stays published."""
        self.grants.keys.rotate()

    @property
    def opaque_tokens(self) -> bool:
        """Whether access tokens are mere random texts instead of JWTs."""
        return self.grants.opaque_tokens

    @opaque_tokens.setter
    def opaque_tokens(self, opaque: bool) -> None:
        self.grants.opaque_tokens = opaque

    def spend_refresh_tokens(self) -> None:
        """No refresh token handed out so far works any more."""
        self.grants.spend_refresh_tokens()

    def expire_access_tokens(self) -> None:
        """No access token handed out so far works any more."""
        self.grants.expire_access_tokens()

    # --- bad days, and what was asked ---------------------------------------------------------------------

    def fail(
        self,
        target: str,
        *,
        times: int | None = 1,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        latency: float = 0.0,
        broken_json: bool = False,
        disconnect: bool = False,
    ) -> None:
        """Answer the next ``times`` requests for a path (``/api/v1/person``) or a grant type badly; None is for ever.

        A path stands for all that begin with it. ``body`` is sent as JSON, or as it is where it is a text.
        ``latency`` is seconds; alone it only delays. ``disconnect`` closes the connection in the middle of the answer.
        """
        self._faults.plan(
            target,
            times=times,
            status=status,
            body=body,
            headers=dict(headers or {}),
            latency=latency,
            broken_json=broken_json,
            disconnect=disconnect,
        )

    def rate_limit(self, target: str = "/", *, reset_in: float, times: int | None = 1) -> None:
        """Answer 429, with the time after which to try again."""
        reset = str(int(self.clock() + reset_in) + 1)
        self.fail(target, times=times, status=429, headers={"RateLimit-Reset": reset, "RateLimit-Rule": "300reqs/60s"})

    def clear_faults(self) -> None:
        """Be a good Hub again."""
        self._faults.clear()

    def count(self, *, path: str | None = None, grant_type: str | None = None, client_id: str | None = None) -> int:
        """How many requests were answered, of a path, a grant type or a client."""
        wanted = {"path": path, "grant_type": grant_type, "client_id": client_id}.items()
        return sum(all(value in (None, getattr(made, name)) for name, value in wanted) for made in list(self.requests))

    @property
    def faults(self) -> Faults:
        """The faults that are planned."""
        return self._faults

    def _granted(
        self, client_id: str, scope: str, person_id: str, organization_id: str | None
    ) -> tuple[HubApp, Bearer, tuple[str, ...]]:
        app = self.app_of(client_id)
        if app is None:
            raise ValueError(f"There is no app with the client id {client_id!r}.")
        requested = read_scopes(scope, app.desired_scopes)
        bearer = bearer_of(self, requested, self.person(person_id), organization_id)
        return app, bearer, self.granted_part(requested.scopes)

    def _waiting(self, user_code: str) -> DeviceCode:
        code = self.device_codes.waiting(user_code)
        if code is None:
            raise LookupError("No device waits with this code.")
        return code
