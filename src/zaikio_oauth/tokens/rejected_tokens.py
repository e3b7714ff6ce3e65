"""What becomes of a token that an API has rejected with a 401 although it should be valid (RFC 6750 §3.1)."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import DecryptionError, InvalidGrantError, ZaikioOAuthError
from zaikio_oauth.retries_and_waits import REJECTION_PAUSE
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.single_flight import Patience, SingleFlight
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.stored_grants import StoredGrants

__all__ = ["RejectedTokens"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class RejectedTokens:
    """Replaces them, once a minute. Nothing is deleted, because it may be the API that is wrong."""

    grants: StoredGrants
    issuance: Issuance
    refresh_grant: Refresh
    flights: SingleFlight
    renewed_lately: TokenCache[bool] = field(default_factory=lambda: TokenCache(REJECTION_PAUSE))

    async def other_than(self, rejected: AccessToken, search: TokenSearch, valid_for: timedelta) -> AccessToken | None:
        """Return another token than this one: one that is stored, else a refreshed one, else by client credentials.

        Return None if there is none, or if this one was renewed for the same reason less than a minute ago.
        """
        # What has gone wrong is in the log; the caller has the answer of the API.
        with suppress(ZaikioOAuthError):
            return await self.flights.run(
                ("other than", rejected.id, rejected.token, search, valid_for),
                lambda: self._other_than(rejected, search, valid_for),
                patience=Patience(),
                name=f"The renewal of access token {rejected.id}",
            )
        return None

    async def _other_than(self, rejected: AccessToken, search: TokenSearch, valid_for: timedelta) -> AccessToken | None:
        try:
            # From the database, because another caller who was rejected may have replaced it already.
            self.grants.forget(rejected.id)
            newest = await self.grants.find_usable_now(search, valid_for)
            if newest is not None and newest.access_token.token != rejected.token:
                return newest.access_token
            if self.renewed_lately.get(rejected.id):
                return None
            self._pause(rejected)
            renewed = await self._renewed(rejected, search, valid_for)
        except ZaikioOAuthError as error:
            log.warning("Access token %s was rejected by an API, and cannot be renewed: %s", rejected.id, error)
            return None
        self._pause(renewed)
        return renewed

    async def _renewed(self, rejected: AccessToken, search: TokenSearch, valid_for: timedelta) -> AccessToken:
        with suppress(DecryptionError, InvalidGrantError):
            if stored := await self.grants.get(rejected.id):
                return await self.refresh_grant(stored, Patience())
        return await self.issuance.client_credentials(search, valid_for, Patience(), other_than=rejected)

    def _pause(self, token: AccessToken) -> None:
        self.renewed_lately.put(token.id, True, dropped=self.renewed_lately.dropped)
