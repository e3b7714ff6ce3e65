"""New grants: asks the Hub for a token in each of its ways, and stores what it gives (RFC 6749 §4, §5; RFC 8628)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Hashable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import ConfigurationError, InvalidResponseError, InvalidScopesError
from zaikio_oauth.hub.delegation_endpoint import delegate
from zaikio_oauth.hub.device_endpoint import DeviceAuthorizationResponse, request_device_authorization
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import AccessTokenRepository, StoredToken, TokenSearch
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.single_flight import DEADLINE, SingleFlight, once_across_processes
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.grant import delegated_token, new_token
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["NOT_YET", "Issuance"]

T = TypeVar("T")

NOT_YET = frozenset({"authorization_pending", "slow_down"})
"""What a device is told until somebody has decided (RFC 8628 §3.5)."""


class Issuance:
    """Gets new tokens for one event loop. What the Hub has given is stored also if the caller goes away meanwhile."""

    def __init__(
        self,
        settings: Settings,
        *,
        http: HubHttp,
        token_endpoint: TokenEndpoint,
        roles: Roles,
        access_tokens: AccessTokenRepository,
        leases: LeaseRepository,
        cache: TokenCache[StoredToken],
        flights: SingleFlight,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._http = http
        self._token_endpoint = token_endpoint
        self._roles = roles
        self._access_tokens = access_tokens
        self._leases = leases
        self._cache = cache
        self._flights = flights
        self._telemetry = telemetry

    async def uninterrupted(self, call: Callable[[], Coroutine[Any, Any, T]], key: Hashable = None) -> T:
        """Run to the end even if the caller is cancelled: a single-use code must not be spent for nothing.

        Callers with the same ``key`` share one run.
        """
        return await self._flights.run(object() if key is None else key, call)

    # --- authorization code ---------------------------------------------------------------------------

    async def exchange_code(
        self,
        client_name: str,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str | None,
        requested_scopes: Iterable[str],
    ) -> AccessToken:
        """The stored token for an authorization code (RFC 6749 §4.1.3)."""
        client = self._settings.client(client_name)

        async def exchange() -> AccessToken:
            with self._telemetry.asking("authorization_code", client_name):
                response = await self._token_endpoint.authorization_code(
                    client, code=code, redirect_uri=redirect_uri, code_verifier=code_verifier, deadline=DEADLINE
                )
            response = await self._roles.told(response)
            return await self._added(new_token(client_name, response, requested_scopes), "authorization_code")

        return await self.uninterrupted(exchange)

    # --- client credentials ---------------------------------------------------------------------------

    async def by_client_credentials(self, search: TokenSearch, valid_for: timedelta) -> AccessToken:
        """A token that is valid that long by client credentials (RFC 6749 §4.4): one request, however many ask.

        Raises ConfigurationError, before anything is asked, for a client that may not use them.
        """
        name, bearer_type, bearer_id, wanted = search
        if not self._settings.client(name).confidential:
            raise ConfigurationError(
                f"The client {name!r} has no secret and so cannot use client credentials; "
                f"{bearer_type}/{bearer_id} has to log in or connect first."
            )
        if not wanted:
            raise ConfigurationError(
                f"The client {name!r} has no scopes for a bearer of type {bearer_type}; pass scopes=[…]."
            )
        key = _digest("client_credentials", name, bearer_type, bearer_id, *sorted(scope_rules.normalize(wanted)))

        async def stored() -> AccessToken | None:
            found = await self._access_tokens.find_usable(**search.columns, valid_for=valid_for)
            return found.access_token if found else None

        async def flight() -> AccessToken:
            lease = self._leases.lease(key)
            return await once_across_processes(
                lease, result=stored, call=lambda: self._client_credentials(search), deadline=DEADLINE
            )

        return await self._flights.run(key, flight)

    async def _client_credentials(self, search: TokenSearch) -> AccessToken:
        name, bearer_type, bearer_id, wanted = search
        client = self._settings.client(name)
        scopes = scope_rules.with_prefix(wanted, scope_rules.bearer_prefix(bearer_type, bearer_id))
        with self._telemetry.asking("client_credentials", name):
            response = await self._token_endpoint.client_credentials(client, scopes=scopes, deadline=DEADLINE)
        token = new_token(name, response, wanted)
        if (token.bearer_type, token.bearer_id) != (bearer_type, bearer_id):
            raise InvalidResponseError("The Hub answered with a token of another bearer.")
        return await self._added(token, "client_credentials")

    # --- device code ----------------------------------------------------------------------------------

    async def authorize_device(
        self, client_name: str, scopes: Iterable[str] | None
    ) -> tuple[DeviceAuthorizationResponse, tuple[str, ...]]:
        """Codes for a device, and the scopes that were asked for (RFC 8628 §3.1); those of the client by default."""
        client = self._settings.client(client_name)
        wanted = client.default_scopes if scopes is None else scope_rules.parse(scopes)
        if not wanted:
            raise ConfigurationError(f"The client {client_name!r} has no default scopes; pass scopes=[…].")
        with self._telemetry.asking("device_authorization", client_name):
            response = await request_device_authorization(self._http, client, scopes=wanted, deadline=DEADLINE)
        return response, wanted

    async def by_device_code(
        self, client_name: str, *, device_code: str, requested_scopes: Iterable[str]
    ) -> AccessToken:
        """The stored token for a device code (RFC 8628 §3.4); OAuthError of NOT_YET until somebody has decided."""
        client = self._settings.client(client_name)
        with self._telemetry.asking("device_code", client_name, not_yet=NOT_YET):
            response = await self._token_endpoint.device_code(client, device_code=device_code, deadline=DEADLINE)
        response = await self._roles.told(response)
        return await self._added(new_token(client_name, response, requested_scopes), "device_code")

    # --- delegation -----------------------------------------------------------------------------------

    async def delegate(self, token: AccessToken, *, client_id: str, scopes: Iterable[str]) -> AccessToken:
        """The stored token for a subsystem's app, with a part of this one's permissions.

        Raises InvalidScopesError for one that is delegated itself, ConfigurationError for a client that may not
        delegate; both before anything is asked.
        """
        if token.delegated_from is not None:
            raise InvalidScopesError("delegation_access_token_cannot_delegate", "use the token it was delegated from")
        if not self._settings.client(token.audience).confidential:
            raise ConfigurationError(f"The client {token.audience!r} has no secret and so cannot delegate.")
        wanted = tuple(scope_rules.unprefixed(scope) for scope in scope_rules.parse(scopes))
        if not wanted:
            raise InvalidScopesError("malformed_scope", "name the scopes to delegate")

        async def run() -> AccessToken:
            with self._telemetry.asking("delegation", token.audience):
                response = await delegate(self._http, token=token.token, client_id=client_id, scopes=wanted)
            response = await self._roles.told(response)
            part = delegated_token(token, self._settings.clients, client_id, response, wanted)
            return await self._added(part, "delegation")

        return await self.uninterrupted(run)

    # --- what all of them end in ----------------------------------------------------------------------

    async def _added(self, token: AccessToken, grant_type: str) -> AccessToken:
        stored = await self._access_tokens.add(token)
        # The newest fitting token wins, so what was found before for this bearer is to be looked up again.
        self._cache.drop_if(lambda kept: kept.access_token.bearer_id == stored.bearer_id)
        self._telemetry.tell(TokenEvent.of("obtained", stored, grant_type=grant_type))
        return stored


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
