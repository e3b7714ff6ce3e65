"""Renewal ahead of time: in the background, while callers go on with the token that they have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.retries_and_waits import RENEWAL_PAUSE, RENEWAL_WAIT
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.leases import Lease
from zaikio_oauth.store.single_flight import SingleFlight, once_across_processes
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry, identity_of

__all__ = ["RenewalAhead"]


@dataclass(frozen=True, slots=True, eq=False)
class RenewalAhead:
    """Renews tokens before they must be, for one event loop: one request for all tasks and processes.

    Nobody waits for it, so it is one attempt only. If that fails, it is logged as a warning and told to the listeners
    of events. Callers keep the token, which is still valid, and no process tries again before RENEWAL_PAUSE has passed.
    If the Hub refuses for good, the refresh token is deleted, so nothing is tried again.
    """

    settings: Settings
    grants: StoredGrants
    refresh: Refresh
    issuance: Issuance
    flights: SingleFlight
    telemetry: Telemetry
    ahead: timedelta = field(init=False)
    failed_here: TokenCache[bool] = field(init=False)
    """The tokens whose renewal has failed at the database, where it could not be noted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ahead", self.settings.ahead)
        object.__setattr__(self, "failed_here", TokenCache(RENEWAL_PAUSE.total_seconds()))

    def begin_if_due(self, stored: StoredToken, *, client_credentials: bool = False) -> None:
        """Begin to renew this token, unless it is not due, cannot be renewed, or this has failed a moment ago.

        A token without a refresh token is renewed by ``client_credentials`` if that is said.
        """
        if not stored.due(self.ahead):
            return
        token = stored.access_token
        if token.audience not in self.settings.clients or self.failed_here.get(token.id) is not None:
            return
        if token.refreshable():
            name = f"The refresh of access token {token.id}"
            self._begin(stored, lambda: self._refreshed(stored), name)
        elif client_credentials and self._may_request(token):
            name = f"The request for a token of {token.bearer_type}/{token.bearer_id}"
            self._begin(stored, lambda: self._requested(stored), name)

    def _may_request(self, token: AccessToken) -> bool:
        confidential = self.settings.client(token.audience).confidential
        return confidential and bool(token.requested_scopes) and token.delegated_from is None

    def _begin(self, stored: StoredToken, renew: Callable[[], Awaitable[object]], name: str) -> None:
        token_id = stored.access_token.id

        async def flight() -> None:
            try:
                await renew()
            except StoreUnavailableError:
                self._postpone_here(token_id)
                raise
            finally:
                # What another process has done, or a failure that was noted, has to be read.
                self.grants.forget(token_id)

        # Not the flight of those who must have another token: this one ends early if it has failed elsewhere.
        self.flights.begin(("ahead", token_id, stored.version), flight, name=name)

    async def _refreshed(self, stored: StoredToken) -> object:
        lease = self.refresh.lease(stored)

        async def settled() -> StoredToken | None:
            now = await self.grants.get_under(lease)
            if now is None:
                return stored
            again = now.version == stored.version and now.access_token.refreshable() and now.due(self.ahead)
            return None if again else now

        return await self._asked_once(stored, lease, settled, lambda: self.refresh.request(stored, lease, once=True))

    async def _requested(self, stored: StoredToken) -> object:
        token = stored.access_token
        # What this token was requested for, so that it serves everybody whom this one serves.
        search = TokenSearch(token.audience, token.bearer_type, token.bearer_id, token.requested_scopes)

        async def settled() -> StoredToken | None:
            newest = await self.grants.find_usable_now(search, timedelta(0))
            return None if newest is None or newest.due(self.ahead) else newest

        lease = self.issuance.client_credentials_lease(search)
        return await self._asked_once(
            stored, lease, settled, lambda: self.issuance.request_client_credentials(search, once=True)
        )

    async def _asked_once(
        self,
        stored: StoredToken,
        lease: Lease,
        settled: Callable[[], Awaitable[StoredToken | None]],
        request: Callable[[], Coroutine[Any, Any, object]],
    ) -> object:
        async def noted() -> object:
            # Under the lease, so that whoever gets it next sees that this has failed.
            try:
                return await request()
            except Exception as error:
                self.telemetry.tell_unanswered(error, stored.access_token.audience, **identity_of(stored.access_token))
                try:
                    await self.grants.postpone_renewal(stored)
                except StoreUnavailableError:
                    self._postpone_here(stored.access_token.id)
                raise

        return await once_across_processes(lease, result=settled, call=noted, deadline=RENEWAL_WAIT)

    def _postpone_here(self, token_id: str) -> None:
        self.failed_here.put(token_id, True, self.failed_here.reading())
