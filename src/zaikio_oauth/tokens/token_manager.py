"""Which token a caller gets: the stored one, else a refreshed one, else a new one by client credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from zaikio_oauth.access_token import DEFAULT_VALID_FOR, AccessToken
from zaikio_oauth.errors import DecryptionError, InvalidGrantError, UnknownClientError
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.single_flight import Patience
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.renewal_ahead import RenewalAhead
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.virtual_token import VirtualGrant

__all__ = ["TokenManager"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class TokenManager:
    """Answers the question "which token?" for one event loop. Callers see values only."""

    settings: Settings
    grants: StoredGrants
    issuance: Issuance
    refresh_grant: Refresh
    renewals: RenewalAhead
    lost_grants: LostGrants

    # --- the stored one -------------------------------------------------------------------------------

    async def find_usable(
        self, search: TokenSearch, valid_for: timedelta, patience: Patience | None = None
    ) -> AccessToken | None:
        """Return the newest stored token that fits and is valid that long, or None."""
        stored = await self.grants.find_usable(search, valid_for, patience or Patience())
        return stored.access_token if stored else None

    async def find_active(
        self, access_token_id: str | None, valid_for: timedelta, patience: Patience | None = None
    ) -> AccessToken | None:
        """Return that token, refreshed if necessary; None if it is gone, revoked or can no longer be refreshed.

        If nothing lives that long, it is the longest that there is.
        """
        if not access_token_id:
            return None
        if virtual := self._virtual(access_token_id):
            return virtual
        patience = patience or Patience()
        stored = await self.grants.find(access_token_id, valid_for, patience)
        if stored is None:
            return None
        if stored.will_do(valid_for):
            self.renewals.begin_if_due(stored)
            return stored.access_token
        return await self._refreshed(stored, patience, valid_for)

    def at_hand(self, access_token_id: str) -> AccessToken | None:
        """Return that token if it was read a moment ago and is not due, or None: then only ``find_living`` knows."""
        stored = self.grants.cache.get(access_token_id, lasting=True)
        # What a search has found is kept there too, and a session must not name a search.
        return stored.access_token if stored is not None and stored.access_token.id == access_token_id else None

    async def find_living(self, access_token_id: str, patience: Patience) -> AccessToken | None:
        """Return that token, for a page: at once as long as it lives, and refreshed once it has expired, or None.

        One that is due is refreshed in the background. When ``patience`` ends, raises HubUnavailableError or
        StoreUnavailableError.
        """
        if virtual := self._virtual(access_token_id):
            return virtual
        stored = await self.grants.find(access_token_id, timedelta(0), patience)
        if stored is None:
            return None
        if stored.access_token.expired:
            return await self._refreshed(stored, patience)
        self.renewals.begin_if_due(stored)
        return stored.access_token

    async def _refreshed(
        self, stored: StoredToken, patience: Patience, valid_for: timedelta = timedelta(0)
    ) -> AccessToken | None:
        try:
            return await self.refresh_grant(stored, patience, valid_for)
        except InvalidGrantError:
            return None
        except UnknownClientError as error:
            # The app no longer has that client; whoever logged in with it has to log in again.
            log.warning(
                "Access token %s cannot be refreshed: %s",
                stored.access_token.id,
                error,
                extra={"zaikio_event": "token.client_unknown", "zaikio_access_token_id": stored.access_token.id},
            )
            return None

    def _virtual(self, access_token_id: str) -> AccessToken | None:
        if not (grant := VirtualGrant.parse(access_token_id)):
            return None
        if self.settings.environment != "test":
            # Whoever writes the test cannot see why nobody is logged in, and logged_in_as does not know the settings.
            log.warning(
                "The session of logged_in_as needs ZAIKIO_ENVIRONMENT=test, set before the app is imported; it is %s.",
                self.settings.environment,
                extra={"zaikio_event": "session.not_in_test"},
            )
            return None
        client_name = grant.client_name or self.settings.default_client
        client = self.settings.clients.get(client_name)
        return grant.token(client_name, client.default_scopes) if client else None

    # --- the stored one, else a refreshed one, else a new one --------------------------------------------

    async def get(self, search: TokenSearch, valid_for: timedelta, patience: Patience | None = None) -> AccessToken:
        """Return a token that fits and is valid that long: stored, else refreshed, else by client credentials.

        If nothing lives that long, it is the longest that there is.
        """
        patience = patience or Patience()
        if usable := await self.grants.find_usable(search, valid_for, patience):
            self.renewals.begin_if_due(usable, client_credentials=True)
            return usable.access_token
        if refreshable := await self.grants.find_refreshable(search, patience):
            if refreshable.will_do(valid_for):
                # Refreshed since the look before, or the longest that there is.
                return refreshable.access_token
            # One that no key decrypts has just been refreshed by a process that has other keys.
            with suppress(InvalidGrantError, DecryptionError):
                return await self.refresh_grant(refreshable, patience, valid_for)
        # Once for all callers: each would write, even if there is nothing to tell.
        await self.grants.flights.run(("over", search), lambda: self.lost_grants.lose_over(search))
        return await self.issuance.client_credentials(search, valid_for, patience)

    async def refresh(self, token: AccessToken) -> AccessToken:
        """Return this grant's next token; raises InvalidGrantError if the grant is gone."""
        patience = Patience()
        stored = await self.grants.get(token.id, patience)
        if stored is None:
            raise InvalidGrantError("invalid_grant", "this grant is no longer stored: logged out or revoked")
        if stored.access_token.token != token.token and not stored.access_token.expired:
            # Somebody else has refreshed it since the caller read it.
            return stored.access_token
        return await self.refresh_grant(stored, patience)

    async def delegate(self, token: AccessToken, *, client_id: str, scopes: str | Iterable[str]) -> AccessToken:
        """Return a token that is delegated from this one, which is refreshed first if necessary.

        Raises InvalidGrantError if the grant is gone.
        """
        patience = Patience()
        parent: AccessToken | None = token
        if token.delegated_from is None:
            parent = await self.find_active(token.id, DEFAULT_VALID_FOR, patience)
        if parent is None:
            raise InvalidGrantError("invalid_grant", "this token is no longer stored: logged out, revoked or expired")
        return await self.issuance.delegation(parent, client_id=client_id, scopes=scopes, patience=patience)
