"""One refresh of one grant, however many callers and processes want it (RFC 6749 §6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from zaikio_oauth.access_token import AccessToken, has_refresh_token
from zaikio_oauth.errors import InvalidGrantError, StoreUnavailableError
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.hub.token_response import TokenResponse
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.retries_and_waits import HUB_DEADLINE, LEASE_TAKE_OVER_GRACE, LONGEST_POLL
from zaikio_oauth.store.grant_lease import GrantLease
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.single_flight import Patience, SingleFlight, at_the_database, once_across_processes
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.revocation import Revocation
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent, identity_of

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
    lost_grants: LostGrants

    async def __call__(
        self, stored: StoredToken, patience: Patience, valid_for: timedelta = timedelta(0)
    ) -> AccessToken:
        """Return the next token of this grant, which the caller wants to be valid that long.

        Raises InvalidGrantError if the grant is gone or the Hub no longer accepts its refresh token,
        HubUnavailableError if the Hub cannot be asked, and what ``SingleFlight.run`` raises when ``patience`` ends.
        """
        if not stored.access_token.refreshable():
            if stored.access_token.expired:
                await self.lost_grants.lose(stored)
            raise InvalidGrantError("invalid_grant", "there is no refresh token, or it has expired")
        refreshed = await self.flights.run(
            ("refresh", stored.access_token.id, stored.version),
            lambda: self._once_across_processes(stored, valid_for),
            patience=patience,
            name=f"The refresh of access token {stored.access_token.id}",
        )
        return refreshed.access_token

    def lease(self, stored: StoredToken) -> GrantLease:
        """Return the lease under which this grant is refreshed."""
        return GrantLease(self.leases, self.grants.access_tokens, stored)

    async def _once_across_processes(self, stored: StoredToken, valid_for: timedelta) -> StoredToken:
        lease = self.lease(stored)
        with self.grants.changes.watching(stored.access_token.id) as pause:
            return await once_across_processes(
                lease,
                result=lambda: self._changed_since(stored, lease),
                call=lambda: self.request(stored, lease, valid_for),
                deadline=HUB_DEADLINE,
                pause=pause,
            )

    async def _changed_since(self, stored: StoredToken, lease: GrantLease) -> StoredToken | None:
        """Return the row as another process has left it, or None while it is unchanged."""
        now = await self.grants.get_under(lease)
        if now is None:
            raise InvalidGrantError("invalid_grant", "this grant is no longer stored: logged out or revoked")
        if now.version != stored.version:
            return now
        if not has_refresh_token(now.access_token):
            raise InvalidGrantError("invalid_grant", "the Hub no longer accepts the refresh token")
        return None

    async def request(
        self, stored: StoredToken, lease: GrantLease, valid_for: timedelta = timedelta(0), *, once: bool = False
    ) -> StoredToken:
        """Refresh this grant, under its lease, and return the row; ``once`` makes one attempt only."""
        old = stored.access_token
        client = self.settings.client(old.audience)
        try:
            with self.telemetry.asking("refresh_token", old.audience, **identity_of(old)):
                response = await self.token_endpoint.refresh_token(
                    client, refresh_token=old.refresh_token or "", once=once
                )
        except InvalidGrantError:
            if rescued := await self._changed_by_another(stored, lease):
                return rescued
            # Another process may have stored its result since the last look.
            if not await self.grants.drop_refresh_token(stored) and (
                rescued := await self._changed_since(stored, lease)
            ):
                return rescued
            # Ahead of time nobody has to do anything yet: the token lives on.
            if not once or old.expired:
                await self.lost_grants.lose(stored)
            raise
        fresh = _refreshed_token(old, await self.roles.resolved(response))
        try:
            replaced = await self.grants.replace(stored, fresh, valid_for, lease)
        except StoreUnavailableError:
            # Refused for good, or the process ends: nobody will ever hold it.
            await self.revocation.revoke_or_warn(fresh)
            raise
        if replaced is None:
            # Logged out or revoked while the Hub was asked, so nobody may have what it has just issued.
            await self.revocation.revoke_or_warn(fresh)
            await self.lost_grants.lose(stored)
            raise InvalidGrantError("invalid_grant", "this grant was revoked during the refresh")
        self.telemetry.tell(TokenEvent.of("refreshed", fresh))
        return replaced

    async def _changed_by_another(self, stored: StoredToken, lease: GrantLease) -> StoredToken | None:
        """Return what another process has got for the refresh token that the Hub no longer accepts from us, if any.

        A process that stalls loses its lease. Whichever of the two continues later is refused, and the other one has
        the new token, or is about to store it.
        """
        with at_the_database():
            if changed := await self._changed_since(stored, lease):
                return changed
            lost = await lease.lost()
        clock = asyncio.get_running_loop().time
        started = clock()
        while (lost or lease.taken_over) and clock() - started < LEASE_TAKE_OVER_GRACE:
            await asyncio.sleep(LONGEST_POLL)
            with at_the_database():
                if changed := await self._changed_since(stored, lease):
                    return changed
        return None


def _refreshed_token(old: AccessToken, response: TokenResponse) -> AccessToken:
    """Return the next token of a grant; what the response leaves out stays as it was (RFC 6749 §5.1, §6)."""
    response.require_bearer(old.bearer_type, old.bearer_id)
    changes: dict[str, Any] = {
        "jti": response.jti,
        "token": response.token,
        "expires_at": response.expires_at,
    }
    if response.scopes is not None:
        changes["scopes"] = response.scopes
    if response.on_behalf_of is not None and (response.has_roles or old.on_behalf_of is None):
        changes["on_behalf_of"] = response.on_behalf_of
    if response.refresh_token is not None:
        changes["refresh_token"] = response.refresh_token
        changes["refresh_expires_at"] = response.refresh_expires_at
    return old.model_copy(update=changes)
