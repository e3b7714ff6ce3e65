"""One refresh of one grant, however many callers and processes want it (RFC 6749 §6; see docs/single-flight.md)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from zaikio_oauth.access_token import ASSUMED_LIFETIME, AccessToken
from zaikio_oauth.errors import InvalidGrantError
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.hub.token_response import TokenResponse
from zaikio_oauth.retries_and_waits import HUB_DEADLINE, LEASE_TAKE_OVER_GRACE, LONGEST_POLL
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import StoredToken
from zaikio_oauth.store.leases import Lease, LeaseRepository
from zaikio_oauth.store.single_flight import SingleFlight, once_across_processes
from zaikio_oauth.tokens.revocation import Revocation
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["Refresh"]


@dataclass(frozen=True, slots=True, eq=False)
class Refresh:
    """Refreshes grants for one event loop: tasks share a request, processes share a lease."""

    settings: Settings
    token_endpoint: TokenEndpoint
    roles: Roles
    revocation: Revocation
    grants: StoredGrants
    leases: LeaseRepository
    flights: SingleFlight
    telemetry: Telemetry

    async def __call__(self, stored: StoredToken) -> AccessToken:
        """Return the next token of this grant.

        Raises InvalidGrantError if the grant is gone or the Hub no longer accepts its refresh token,
        HubUnavailableError if the Hub cannot be asked.
        """
        if not stored.access_token.refreshable():
            raise InvalidGrantError("invalid_grant", "there is no refresh token, or it has expired")
        flight = (stored.access_token.id, stored.version)
        refreshed = await self.flights.run(flight, lambda: self._once_across_processes(stored))
        return refreshed.access_token

    async def _once_across_processes(self, stored: StoredToken) -> StoredToken:
        lease = self.leases.lease(f"refresh:{stored.access_token.id}")
        return await once_across_processes(
            lease,
            result=lambda: self._changed_since(stored),
            call=lambda: self._request(stored, lease),
            deadline=HUB_DEADLINE,
        )

    async def _changed_since(self, stored: StoredToken) -> StoredToken | None:
        """Return the row as another process has left it, or None while it is unchanged."""
        now = await self.grants.get(stored.access_token.id)
        if now is None:
            raise InvalidGrantError("invalid_grant", "this grant is no longer stored: logged out or revoked")
        if now.version != stored.version:
            return now
        if now.access_token.refresh_token is None:
            raise InvalidGrantError("invalid_grant", "the Hub no longer accepts the refresh token")
        return None

    async def _request(self, stored: StoredToken, lease: Lease) -> StoredToken:
        old = stored.access_token
        client = self.settings.client(old.audience)
        try:
            with self.telemetry.asking("refresh_token", old.audience):
                response = await self.token_endpoint.refresh_token(client, refresh_token=old.refresh_token or "")
        except InvalidGrantError:
            if lease.taken_over and (rescued := await self._wait_for_change(stored)):
                return rescued
            await self.grants.drop_refresh_token(stored)
            raise
        fresh = _refreshed_token(old, await self.roles.resolved(response))
        replaced = await self.grants.replace(fresh)
        if replaced is None:
            # Logged out or revoked while the Hub was asked, so nobody may have what it has just issued.
            await self.revocation.revoke_or_warn(fresh)
            raise InvalidGrantError("invalid_grant", "this grant was revoked during the refresh")
        self.telemetry.tell(TokenEvent.of("refreshed", fresh))
        return replaced

    async def _wait_for_change(self, stored: StoredToken) -> StoredToken | None:
        """Wait for the process from which the lease was taken: it may be alive and have used the refresh token."""
        clock = asyncio.get_running_loop().time
        started = clock()
        while clock() - started < LEASE_TAKE_OVER_GRACE:
            if changed := await self._changed_since(stored):
                return changed
            await asyncio.sleep(LONGEST_POLL)
        return None


def _refreshed_token(old: AccessToken, response: TokenResponse) -> AccessToken:
    """Return the next token of a grant; what the response leaves out stays as it was (RFC 6749 §5.1, §6)."""
    response.require_bearer(old.bearer_type, old.bearer_id)
    changes: dict[str, Any] = {
        "jti": response.jti,
        "token": response.token,
        "expires_at": response.expires_at or datetime.now(UTC) + ASSUMED_LIFETIME,
    }
    if response.scopes is not None:
        changes["scopes"] = response.scopes
    if response.on_behalf_of is not None and (response.has_roles or old.on_behalf_of is None):
        changes["on_behalf_of"] = response.on_behalf_of
    if response.refresh_token is not None:
        changes["refresh_token"] = response.refresh_token
        changes["refresh_expires_at"] = response.refresh_expires_at
    return old.model_copy(update=changes)
