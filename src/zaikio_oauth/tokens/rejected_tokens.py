"""What becomes of a token that an API has rejected with a 401 although it should be valid (RFC 6750 §3.1)."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.errors import DecryptionError, InvalidGrantError, ZaikioOAuthError
from zaikio_oauth.settings.retries_and_waits import RENEWAL_PAUSE
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.single_flight import Patience, SingleFlight
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.stored_grants import StoredGrants

__all__ = ["RejectedTokens"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class RejectedTokens:
    """Replaces them, once a minute in all processes. Nothing is deleted, because it may be the API that is wrong."""

    grants: StoredGrants
    issuance: Issuance
    refresh_grant: Refresh
    flights: SingleFlight
    failed_lately: TokenCache[bool] = field(default_factory=lambda: TokenCache(RENEWAL_PAUSE.total_seconds()))

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
        stored: StoredToken | None = None
        try:
            # From the database, because another caller who was rejected may have replaced it already.
            self.grants.forget(rejected.id)
            stored = await self.grants.find_usable_now(search, valid_for)
            if stored is not None and stored.access_token.token != rejected.token:
                return stored.access_token
            if stored is None:
                with suppress(DecryptionError):
                    stored = await self.grants.get(rejected.id)
            if self.failed_lately.get(rejected.id) or (stored is not None and stored.postponed()):
                return None
            renewed = await self._renewed(stored, rejected, search, valid_for)
        except ZaikioOAuthError as error:
            log.warning(
                "Access token %s was rejected by an API, and cannot be renewed: %s",
                rejected.id,
                error,
                extra={"zaikio_event": "token.rejected", "zaikio_access_token_id": rejected.id},
            )
            # Here too: the row may be gone, or the database.
            self.failed_lately.put(rejected.id, True, self.failed_lately.reading())
            await self._postpone(rejected)
            return None
        await self._postpone(renewed)
        return renewed

    async def _renewed(
        self, stored: StoredToken | None, rejected: AccessToken, search: TokenSearch, valid_for: timedelta
    ) -> AccessToken:
        if stored is not None:
            with suppress(InvalidGrantError):
                return await self.refresh_grant(stored, Patience(), valid_for)
        return await self.issuance.client_credentials(search, valid_for, Patience(), other_than=rejected)

    async def _postpone(self, token: AccessToken) -> None:
        with suppress(ZaikioOAuthError):
            stored = await self.grants.get(token.id)
            if stored is not None and stored.access_token.token == token.token:
                await self.grants.postpone_renewal(stored)
