"""LocalHub: a Zaikio Hub in a box."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.testing.local_hub.api import Api
from zaikio_oauth.testing.local_hub.authorize import Authorize
from zaikio_oauth.testing.local_hub.directory import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    ORGANIZATIONS,
    PEOPLE,
    HubApp,
    HubOrganization,
    HubPerson,
)
from zaikio_oauth.testing.local_hub.faults import Faults, suffer
from zaikio_oauth.testing.local_hub.grants import Bearer, Grants
from zaikio_oauth.testing.local_hub.signing_keys import SigningKeys
from zaikio_oauth.testing.local_hub.token_endpoint import TokenEndpoint

__all__ = ["HubRequest", "LocalHub"]

_BASE_URLS = ("http://localhost:8000", "http://127.0.0.1:8000", "http://testserver")


@dataclass(frozen=True, slots=True)
class HubRequest:
    """One request that was made, without its secrets."""

    method: str
    path: str
    grant_type: str | None
    status_code: int
    at: float


class LocalHub:
    """A Zaikio Hub in a box: an ASGI app with the Hub's pages, grants, keys and API.

    ``apps`` default to one named ``warehouse`` whose callbacks below ``/zaikio`` are registered for
    ``http://localhost:8000``, ``http://127.0.0.1:8000`` and ``http://testserver``. ``clock`` gives seconds
    since the epoch. The lifetimes are seconds and may be changed at any time, as may ``expires_in_format``
    (``seconds``, ``string``, ``iso8601``). Raises ConfigurationError in ``production``.
    """

    def __init__(
        self,
        apps: Iterable[HubApp] | None = None,
        *,
        people: Iterable[HubPerson] = PEOPLE,
        organizations: Iterable[HubOrganization] = ORGANIZATIONS,
        environment: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (environment or os.environ.get("ZAIKIO_ENVIRONMENT")) == "production":
            raise ConfigurationError("The local Hub lets anybody in and does not run in production.")
        default = HubApp.for_client("warehouse", DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, base_urls=_BASE_URLS)
        self.apps = list(apps) if apps is not None else [default]
        self.people = list(people)
        self.organizations = list(organizations)
        self.clock = clock
        self.code_lifetime: float = 300.0
        self.access_token_lifetime: float = 3600.0
        self.refresh_token_lifetime: float = 7 * 24 * 3600.0
        self.expires_in_format: Literal["seconds", "string", "iso8601"] = "seconds"
        self.withheld_scopes: frozenset[str] = frozenset()
        self.consent: tuple[str, str | None] | Literal["cancel"] | None = None
        self.requests: list[HubRequest] = []
        self.grants = Grants(SigningKeys(), clock)
        self._faults = Faults()
        routes = [*Authorize(self).routes(), *TokenEndpoint(self).routes(), *Api(self).routes()]
        self._app = Starlette(routes=routes, middleware=[Middleware(_Watch, hub=self)])

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

    def grant(self, client_id: str, bearer_type: str, bearer_id: str, scopes: Iterable[str]) -> None:
        """Let the bearer have granted these scopes (without prefix) to the app already, for client credentials."""
        self.grants.grant(client_id, Bearer(bearer_type, bearer_id), tuple(scopes))

    def granted_part(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """What of it the Hub grants: all but ``withheld_scopes``."""
        return tuple(scope for scope in scopes if scope not in self.withheld_scopes)

    def revoke(self, jti: str) -> None:
        """Revoke the access token of that id."""
        self.grants.revoke(jti)

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
    ) -> None:
        """Answer the next ``times`` requests for a path (``/api/v1/person``) or a grant type badly; None is for ever.

        ``body`` is sent as JSON, or as it is where it is a text. ``latency`` is seconds; alone it only delays.
        """
        self._faults.plan(
            target,
            times=times,
            status=status,
            body=body,
            headers=dict(headers or {}),
            latency=latency,
            broken_json=broken_json,
        )

    def rate_limit(self, target: str = "/", *, reset_in: float, times: int | None = 1) -> None:
        """Answer 429, with the time after which to try again."""
        reset = str(int(self.clock() + reset_in) + 1)
        self.fail(target, times=times, status=429, headers={"RateLimit-Reset": reset, "RateLimit-Rule": "300reqs/60s"})

    def clear_faults(self) -> None:
        """Be a good Hub again."""
        self._faults.clear()

    def count(self, *, path: str | None = None, grant_type: str | None = None) -> int:
        """How many requests were made, for a path or a grant type."""
        return sum(
            1 for made in list(self.requests) if path in (None, made.path) and grant_type in (None, made.grant_type)
        )

    @property
    def faults(self) -> Faults:
        """The faults that are planned."""
        return self._faults


class _Watch:
    """Counts the requests and lets faults happen, around everything else."""

    def __init__(self, app: ASGIApp, hub: LocalHub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replayed = await _read(receive)
        request = Request(scope, _replay(replayed))
        grant_type = None
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            grant_type = str((await request.form()).get("grant_type") or "") or None

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                made = HubRequest(scope["method"], scope["path"], grant_type, message["status"], time.monotonic())
                self._hub.requests.append(made)
            await send(message)

        fault = self._hub.faults.take(scope["path"], grant_type)
        bad = await suffer(fault) if fault else None
        await (bad or self._app)(scope, _replay(replayed), watched)


async def _read(receive: Receive) -> list[Message]:
    messages = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            return messages


def _replay(messages: list[Message]) -> Receive:
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting, {"type": "http.disconnect"})

    return receive
