"""Everything that a local Hub knows and remembers, and what people do without a browser."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import httpx

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings import value_of
from zaikio_oauth.testing.local_hub.state.bearer import Bearer, bearer_for
from zaikio_oauth.testing.local_hub.state.browser_sessions import BrowserSessions
from zaikio_oauth.testing.local_hub.state.device_codes import DeviceCode, DeviceCodes
from zaikio_oauth.testing.local_hub.state.directory import Directory, HubApp, HubOrganization, HubPerson
from zaikio_oauth.testing.local_hub.state.faults import Fault, Faults
from zaikio_oauth.testing.local_hub.state.grants import Grants
from zaikio_oauth.testing.local_hub.state.hub_request import HubRequest
from zaikio_oauth.testing.local_hub.state.loom_event import loom_event
from zaikio_oauth.testing.local_hub.state.people_file import read_people_file
from zaikio_oauth.testing.local_hub.state.requested_scopes import read_scopes, scopes_of
from zaikio_oauth.testing.local_hub.state.state_file import Snapshot, StateFile

__all__ = ["HubState"]


class HubState(Directory):
    """The state of a LocalHub, which its endpoints and pages share."""

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
        people_file: str | os.PathLike[str] | None = None,
        auto_consent: str | None = None,
        state_file: str | os.PathLike[str] | None = None,
        keys_of: HubState | None = None,
    ) -> None:
        if (environment or value_of("ZAIKIO_ENVIRONMENT")) == "production":
            raise ConfigurationError("The local Hub lets anybody log in and does not run in production.")
        super().__init__(apps, people, organizations)
        if people_file is not None:
            self.people[:], named = read_people_file(Path(people_file), self.organizations)
            if named is not None:
                self.organizations[:] = named
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
        self.grants: Grants = Grants(clock, keys_of.grants.keys if keys_of else None)
        self.device_codes: DeviceCodes = DeviceCodes(clock)
        self.browser_sessions: BrowserSessions = BrowserSessions()
        self.faults: Faults = Faults()
        self._state_file = StateFile(Path(state_file)) if state_file is not None else None
        if self._state_file is not None:
            self._restore(self._state_file)
        if auto_consent is not None:
            self.auto_consent(self._person_called(auto_consent).id)

    # --- what survives a restart ----------------------------------------------------------------------------

    @property
    def keeps_state(self) -> bool:
        """True if a restart with the same ``state_file`` loses nothing."""
        return self._state_file is not None

    def save(self) -> None:
        """Write what has changed to ``state_file``, if there is one; done before each response."""
        if self._state_file is not None:
            self._state_file.write(self._snapshot())

    def _snapshot(self) -> Snapshot:
        tokens, refresh_tokens, revoked, granted = self.grants.export()
        csrf_secret, signed_in = self.browser_sessions.export()
        return Snapshot(
            version=1,
            keys=self.grants.keys.export(),
            tokens=tokens,
            refresh_tokens=refresh_tokens,
            revoked=revoked,
            granted=granted,
            csrf_secret=csrf_secret,
            signed_in=signed_in,
            people=list(self.people),
            organizations=list(self.organizations),
        )

    def _restore(self, file: StateFile) -> None:
        kept = file.read()
        if kept is not None:
            try:
                self.grants.keys.restore(kept.keys)
                self.browser_sessions.restore(kept.csrf_secret, kept.signed_in)
            except ValueError:
                raise file.unusable() from None
            self.grants.restore(kept.tokens, kept.refresh_tokens, kept.revoked, kept.granted)
            # Those who have signed up at this Hub come back; the others are as they are described now.
            self.people.extend([each for each in kept.people if self.person(each.id) is None])
            self.organizations.extend([each for each in kept.organizations if self.organization(each.id) is None])
        file.write_first(self._snapshot())

    def _person_called(self, name: str) -> HubPerson:
        for person in self.people:
            if name in (person.id, person.email):
                return person
        known = ", ".join(person.email for person in self.people)
        raise ConfigurationError(f"Nobody at the local Hub has the id or e-mail address {name!r}; choose from: {known}")

    # --- what people do, without a browser ----------------------------------------------------------------

    def auto_consent(self, person_id: str, organization_id: str | None = None) -> None:
        """Let this person grant every request without a page, for this organization or their first one."""
        self.consent = (person_id, organization_id)

    def auto_cancel(self) -> None:
        """Cancel every request without a page."""
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
        """Issue an authorization code as if this person had consented. Raises ValueError if they may not."""
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
        """Issue an access token as if this person had logged in. Raises ValueError if they may not.

        ``issuer`` is the address of the Hub, for the token's ``jku``.
        """
        app, bearer, scopes = self._granted(client_id, scope, person_id, organization_id)
        options: dict[str, Any] = {"issuer": issuer, "refresh_lifetime": None}
        return self.grants.issue(app, bearer, scopes, lifetime=self.access_token_lifetime, **options).token

    def approve_device(self, user_code: str, person_id: str, organization_id: str | None = None) -> None:
        """Let this person enter the user code and grant, for this organization or their first one.

        Raises LookupError if no device is waiting for the code, ValueError if the person may not grant.
        """
        code = self._waiting(user_code)
        bearer = bearer_for(self, code.requested, self.person(person_id), organization_id)
        self.device_codes.answer(code, (bearer, self.granted_part(code.requested.scopes)))

    def deny_device(self, user_code: str) -> None:
        """Let somebody enter the user code and cancel. Raises LookupError if no device is waiting for it."""
        self.device_codes.answer(self._waiting(user_code), "access_denied")

    def grant(self, client_id: str, bearer_type: BearerType, bearer_id: str, scopes: str | Iterable[str]) -> None:
        """Grant these scopes to the app in the name of the bearer, for client credentials.

        Raises ValueError for a scope with a prefix such as ``Org.``.
        """
        self.grants.grant(client_id, Bearer(bearer_type, bearer_id), scopes_of(scopes))

    def granted_part(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the scopes without ``withheld_scopes``."""
        return tuple(scope for scope in scopes if scope not in self.withheld_scopes)

    # --- tokens and keys ----------------------------------------------------------------------------------

    def revoke(self, jti: str) -> None:
        """Revoke the access token with this id."""
        self.grants.revoke(jti)

    def webhook_event(
        self, jti: str, secret: str, *, name: str = "zaikio.revoked_access_token"
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of the event with which Loom announces that this access token is revoked."""
        bearer = self.grants.bearer_of(jti) or Bearer("Person", str(uuid.uuid4()))
        payload = {"access_token_id": jti}
        return self.event(name, secret, subject_type=bearer.type, subject_id=bearer.id, payload=payload)

    def event(
        self,
        name: str,
        secret: str,
        *,
        subject_id: str,
        subject_type: BearerType = "Organization",
        payload: Mapping[str, Any] | None = None,
        event_id: str | None = None,
        link: str | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of any event of Loom's, signed with the ``webhook_secret`` of the app.

        ``subject_type`` is ``"Organization"`` or ``"Person"``, ``event_id`` a fresh one if it is not given.

            body, headers = hub.event("zaikio.connection_changed", "the secret", subject_id=organization_id)
            client.post("/zaikio/webhook", content=body, headers=headers)
        """
        subject = f"{'Org' if subject_type == 'Organization' else 'Per'}/{subject_id}"
        return loom_event(
            name, secret, subject=subject, payload=payload or {}, at=self.clock(), event_id=event_id, link=link
        )

    async def fire_event(self, url: str, name: str, secret: str, **details: Any) -> int:
        """Deliver an event, which is made as by ``event``, to this URL; return the status of the response.

        As Loom does, it waits for a second: raises httpx.TimeoutException after that.

            url = f"{app_url}/zaikio/webhook"
            status = await hub.fire_event(url, "zaikio.site_added", "the secret", subject_id=organization_id)
        """
        body, headers = self.event(name, secret, **details)
        async with httpx.AsyncClient(timeout=1.0) as loom:
            return (await loom.post(url, content=body, headers=headers)).status_code

    def rotate_signing_key(self) -> None:
        """Sign with a new key from now on. The old one remains published."""
        self.grants.keys.rotate()

    @property
    def opaque_tokens(self) -> bool:
        """True if access tokens are random strings instead of JWTs."""
        return self.grants.opaque_tokens

    @opaque_tokens.setter
    def opaque_tokens(self, opaque: bool) -> None:
        self.grants.opaque_tokens = opaque

    def spend_refresh_tokens(self) -> None:
        """Invalidate all refresh tokens issued so far."""
        self.grants.spend_refresh_tokens()

    def expire_access_tokens(self) -> None:
        """Let all access tokens issued so far expire now."""
        self.grants.expire_access_tokens()

    # --- faults and requests ------------------------------------------------------------------------------

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
        trickle: bool = False,
    ) -> None:
        """Fail the next ``times`` requests for a path (``/api/v1/person``) or a grant type; all of them if None.

        A path includes all paths that begin with it. A ``body`` that is a string is sent unchanged, anything
        else as JSON. ``latency`` is in seconds; on its own it only delays the usual response. ``disconnect``
        closes the connection in the middle of the response, ``trickle`` sends it byte by byte and never
        ends it (on a real socket, as ``HubServer`` has one).

            hub.fail("refresh_token", status=503, times=None)
            hub.fail("/api/v1/revoked_access_tokens", trickle=True)
            hub.fail("authorization_code", status=302, headers={"Location": "https://elsewhere.example"})
        """
        answer = Fault(target, times, status, body, dict(headers or {}), latency, broken_json, disconnect, trickle)
        self.faults.plan(answer)

    def rate_limit(self, target: str = "/", *, reset_in: float, times: int | None = 1) -> None:
        """Respond to the next ``times`` requests with 429, and ask the client to wait ``reset_in`` seconds.

        ``target`` and ``times`` are as in ``fail``; by default, all paths.
        """
        reset = str(int(self.clock() + reset_in) + 1)
        self.fail(target, times=times, status=429, headers={"RateLimit-Reset": reset, "RateLimit-Rule": "300reqs/60s"})

    def clear_faults(self) -> None:
        """Cancel all planned faults."""
        self.faults.clear()

    def count(self, *, path: str | None = None, grant_type: str | None = None, client_id: str | None = None) -> int:
        """Count the answered requests, optionally for one path, grant type or client."""
        wanted = {"path": path, "grant_type": grant_type, "client_id": client_id}.items()
        return sum(all(value in (None, getattr(made, name)) for name, value in wanted) for made in list(self.requests))

    def _granted(
        self, client_id: str, scope: str, person_id: str, organization_id: str | None
    ) -> tuple[HubApp, Bearer, tuple[str, ...]]:
        app = self.app_of(client_id)
        if app is None:
            raise ValueError(f"There is no app with the client id {client_id!r}.")
        requested = read_scopes(scope, app.desired_scopes)
        bearer = bearer_for(self, requested, self.person(person_id), organization_id)
        return app, bearer, self.granted_part(requested.scopes)

    def _waiting(self, user_code: str) -> DeviceCode:
        code = self.device_codes.waiting(user_code)
        if code is None:
            raise LookupError("No device is waiting for this code.")
        return code
