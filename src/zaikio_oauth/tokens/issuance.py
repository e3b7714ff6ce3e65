"""New grants: request a token by each of the Hub's grant types and store it (RFC 6749 §4, §5; RFC 8628)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken, BearerType
from zaikio_oauth.errors import ConfigurationError, InvalidResponseError, InvalidScopesError, StoreUnavailableError
from zaikio_oauth.hub.delegation_endpoint import delegate
from zaikio_oauth.hub.device_endpoint import DeviceAuthorizationResponse, request_device_authorization
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.hub.token_response import TokenResponse
from zaikio_oauth.settings import Settings, same_app
from zaikio_oauth.settings.retries_and_waits import HUB_DEADLINE
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.leases import Lease, LeaseRepository
from zaikio_oauth.store.single_flight import Patience, SingleFlight, once_across_processes
from zaikio_oauth.tokens.revocation import Revocation
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent, identity_of

__all__ = ["DEVICE_PENDING", "Issuance"]

DEVICE_PENDING = frozenset({"authorization_pending", "slow_down"})
"""The error codes of a device whose person has not decided yet (RFC 8628 §3.5)."""


@dataclass(frozen=True, slots=True, eq=False)
class Issuance:
    """Requests new tokens for one event loop. What the Hub issues is stored even if the caller is cancelled."""

    settings: Settings
    http: HubHttp
    token_endpoint: TokenEndpoint
    roles: Roles
    grants: StoredGrants
    revocation: Revocation
    leases: LeaseRepository
    flights: SingleFlight
    telemetry: Telemetry

    async def authorization_code(
        self,
        client_name: str,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str | None,
        requested_scopes: str | Iterable[str],
    ) -> AccessToken:
        """Exchange an authorization code and return the stored token (RFC 6749 §4.1.3)."""
        client = self.settings.client(client_name)

        async def exchange() -> AccessToken:
            with self.telemetry.asking("authorization_code", client_name):
                response = await self.token_endpoint.authorization_code(
                    client, code=code, redirect_uri=redirect_uri, code_verifier=code_verifier
                )
            response = await self.roles.resolved(response)
            return await self._store(_new_token(client_name, response, requested_scopes), "authorization_code")

        return await self.flights.run_to_end(exchange, patience=Patience(), name="The exchange of a code")

    async def client_credentials(
        self,
        search: TokenSearch,
        valid_for: timedelta,
        patience: Patience,
        *,
        other_than: AccessToken | None = None,
    ) -> AccessToken:
        """Return a token that is valid that long, by client credentials (RFC 6749 §4.4): one request for all callers.

        ``other_than``: a stored one that will not do.
        Raises ConfigurationError, before any request, if the client may not use them.
        """
        client_name, bearer_type, bearer_id, wanted = search
        if not self.settings.client(client_name).confidential:
            raise ConfigurationError(
                f"The client {client_name!r} has no secret and so cannot use client credentials; "
                f"{bearer_type}/{bearer_id} has to log in or connect first."
            )
        if not wanted:
            raise ConfigurationError(
                f"The client {client_name!r} has no scopes for a bearer of type {bearer_type}; pass scopes=[…]."
            )

        async def stored() -> AccessToken | None:
            # Not by the cache: a read that began before another process stored its token says nothing now.
            found = await self.grants.find_usable_now(search, valid_for)
            found = found or await self.grants.find_longest_now(search, valid_for)
            unwanted = found and other_than and found.access_token.token == other_than.token
            return found.access_token if found and not unwanted else None

        async def flight() -> AccessToken:
            # Before the lease, too: who wants more than the Hub gives comes often.
            if found := await stored():
                return found
            with self.grants.changes.watching(bearer_id) as pause:
                return await once_across_processes(
                    self.client_credentials_lease(search),
                    result=stored,
                    call=lambda: self.request_client_credentials(search, valid_for),
                    deadline=HUB_DEADLINE,
                    pause=pause,
                )

        name = f"The request for a token of {bearer_type}/{bearer_id}"
        key = (_digest_of(search), other_than and other_than.token)
        return await self.flights.run(key, flight, patience=patience, name=name)

    def client_credentials_lease(self, search: TokenSearch) -> Lease:
        """Return the lease under which such a token is requested."""
        return self.leases.lease(_digest_of(search))

    async def request_client_credentials(
        self, search: TokenSearch, valid_for: timedelta = timedelta(0), *, once: bool = False
    ) -> AccessToken:
        """Request such a token, under its lease, and return it as it is stored; ``once`` makes one attempt only."""
        name, bearer_type, bearer_id, wanted = search
        client = self.settings.client(name)
        scopes = scope_rules.with_prefix(wanted, scope_rules.bearer_prefix(bearer_type, bearer_id))
        with self.telemetry.asking("client_credentials", name, bearer_type=bearer_type, bearer_id=bearer_id):
            response = await self.token_endpoint.client_credentials(client, scopes=scopes, once=once)
        response.require_bearer(bearer_type, bearer_id)
        return await self._store(_new_token(name, response, wanted), "client_credentials", valid_for)

    async def device_authorization(
        self, client_name: str, scopes: str | Iterable[str] | None
    ) -> tuple[DeviceAuthorizationResponse, tuple[str, ...]]:
        """Request codes for a device; return them and the requested scopes, by default the client's (RFC 8628 §3.1)."""
        client = self.settings.client(client_name)
        wanted = client.default_scopes if scopes is None else scope_rules.parse(scopes)
        if not wanted:
            raise ConfigurationError(f"The client {client_name!r} has no default scopes; pass scopes=[…].")
        with self.telemetry.asking("device_authorization", client_name):
            response = await request_device_authorization(self.http, client, scopes=wanted)
        return response, wanted

    async def device_code(
        self, client_name: str, *, device_code: str, requested_scopes: str | Iterable[str]
    ) -> AccessToken:
        """Return the stored token for a device code (RFC 8628 §3.4).

        Raises OAuthError with a code of DEVICE_PENDING until the person has decided.
        """
        client = self.settings.client(client_name)
        with self.telemetry.asking("device_code", client_name, pending=DEVICE_PENDING):
            response = await self.token_endpoint.device_code(client, device_code=device_code)
        response = await self.roles.resolved(response)
        return await self._store(_new_token(client_name, response, requested_scopes), "device_code")

    async def delegation(
        self, parent: AccessToken, *, client_id: str, scopes: str | Iterable[str], patience: Patience
    ) -> AccessToken:
        """Return the stored token that is delegated from ``parent`` to a subsystem's app.

        Raises, before any request, InvalidScopesError if ``parent`` was delegated itself, and ConfigurationError if
        its client may not delegate or the scopes are another bearer's.
        """
        if parent.delegated_from is not None:
            raise InvalidScopesError("delegation_access_token_cannot_delegate", "use the token it was delegated from")
        if not self.settings.client(parent.audience).confidential:
            raise ConfigurationError(f"The client {parent.audience!r} has no secret and so cannot delegate.")
        acting = parent.on_behalf_of is not None
        wanted = scope_rules.of_bearer(scopes, parent.bearer_type, parent.bearer_id, on_behalf=acting)
        if not wanted:
            raise InvalidScopesError("malformed_scope", "name the scopes to delegate")

        async def request() -> AccessToken:
            with self.telemetry.asking("delegation", parent.audience, **identity_of(parent)):
                response = await delegate(self.http, token=parent.token, client_id=client_id, scopes=wanted)
            response = await self.roles.resolved(response)
            token = _delegated_token(parent, self.settings.clients, client_id, response, wanted)
            return await self._store(token, "delegation")

        return await self.flights.run_to_end(request, patience=patience, name="A delegation")

    async def _store(self, token: AccessToken, grant_type: str, valid_for: timedelta = timedelta(0)) -> AccessToken:
        try:
            stored = await self.grants.add(token, valid_for)
        except StoreUnavailableError:
            # Refused for good, or the process ends: nobody will ever hold it.
            await self.revocation.revoke_or_warn(token)
            raise
        self.telemetry.tell(TokenEvent.of("obtained", stored, grant_type=grant_type))
        return stored


def _new_token(client_name: str, response: TokenResponse, requested_scopes: str | Iterable[str]) -> AccessToken:
    """Return the token of a response; raises InvalidResponseError if it is nobody's or not for this client."""
    if response.bearer_type is None or response.bearer_id is None:
        raise InvalidResponseError("The Hub's response does not name the bearer of the token.")
    if response.audiences and not any(same_app(audience, client_name) for audience in response.audiences):
        raise InvalidResponseError(
            f"The Hub's token is for {response.audiences[0]!r}, not for the client {client_name!r}; "
            "name the client as its app is named at the Hub."
        )
    return _unstored_token(client_name, (response.bearer_type, response.bearer_id), response, requested_scopes)


def _delegated_token(
    parent: AccessToken,
    client_names: Iterable[str],
    client_id: str,
    response: TokenResponse,
    scopes: str | Iterable[str],
) -> AccessToken:
    """Return the token of a delegation, with the subsystem as its audience.

    The audience is the name of our client for that app if there is one, else the app's name, else its ``client_id``.
    Raises InvalidResponseError for a token of another bearer.
    """
    response.require_bearer(parent.bearer_type, parent.bearer_id)
    audience = next(iter(response.audiences), client_id)
    audience = next((name for name in client_names if same_app(audience, name)), audience)
    response = replace(
        response,
        on_behalf_of=response.on_behalf_of or parent.on_behalf_of,
        # Only the subsystem could authenticate with it, and the parent can be used to get another token.
        refresh_token=None,
        refresh_expires_at=None,
    )
    bearer = parent.bearer_type, parent.bearer_id
    return _unstored_token(audience, bearer, response, scopes).model_copy(update={"delegated_from": parent.id})


def _unstored_token(
    audience: str, bearer: tuple[BearerType, str], response: TokenResponse, requested_scopes: str | Iterable[str]
) -> AccessToken:
    requested = tuple(scope_rules.unprefixed(scope) for scope in scope_rules.parse(requested_scopes))
    return AccessToken(
        id="",
        jti=response.jti,
        audience=audience,
        bearer_type=bearer[0],
        bearer_id=bearer[1],
        on_behalf_of=response.on_behalf_of,
        scopes=requested if response.scopes is None else response.scopes,
        requested_scopes=requested,
        token=response.token,
        refresh_token=response.refresh_token,
        expires_at=response.expires_at,
        refresh_expires_at=response.refresh_expires_at,
        created_at=datetime.now(UTC),
    )


def _digest_of(search: TokenSearch) -> str:
    scopes = sorted(scope_rules.normalize(search.requested_scopes))
    parts = ("client_credentials", search.audience, search.bearer_type, search.bearer_id, *scopes)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
