"""The stored grants as one process sees them: reads are cached and shared, and its own writes are seen at once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.store.access_tokens import AccessTokenRepository, TokenSearch
from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.grant_lease import GrantLease
from zaikio_oauth.store.single_flight import Patience, SingleFlight, at_the_database
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache

__all__ = ["StoredGrants"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class StoredGrants:
    """The stored grants of one event loop: whatever changes them here also leaves the cache."""

    access_tokens: AccessTokenRepository
    cache: TokenCache[StoredToken]
    changes: Changes
    flights: SingleFlight

    # --- cached reads -----------------------------------------------------------------------------------

    async def find(self, access_token_id: str, valid_for: timedelta, patience: Patience) -> StoredToken | None:
        """Return the grant, or None if it is gone or revoked. What was read a moment ago will do if it is valid."""
        return await self._read(access_token_id, valid_for, patience, lambda: self.access_tokens.get(access_token_id))

    async def find_usable(self, search: TokenSearch, valid_for: timedelta, patience: Patience) -> StoredToken | None:
        """Return the newest grant that fits and is valid that long, or None."""
        if not self.cache.enabled:
            return await self.find_usable_now(search, valid_for, patience)
        return await self._read(
            repr(search),
            valid_for,
            patience,
            lambda: self.access_tokens.find_usable(search, valid_for),
            differing_by=valid_for,
        )

    async def _read(
        self,
        key: str,
        valid_for: timedelta,
        patience: Patience,
        query: Callable[[], Coroutine[Any, Any, StoredToken | None]],
        differing_by: Hashable = None,
    ) -> StoredToken | None:
        if not self.cache.enabled:
            return await self._now(query, patience)
        kept = self.cache.get(key)
        if kept is not None and kept.access_token.valid_for(valid_for):
            return kept
        reading = self.cache.reading()
        # So that a reader who comes after a logout does not join a read that began before it.
        flight = ("read", key, differing_by, reading)
        stored = await self.flights.run(flight, _reading(query), patience=patience, name="a look-up of a token")
        if stored is not None:
            self.cache.put(key, stored, reading)
        return stored

    # --- reads from the database ------------------------------------------------------------------------

    # Within a call under way there is no patience: each of its callers has their own.

    async def get(self, access_token_id: str, patience: Patience | None = None) -> StoredToken | None:
        """Return the grant as it is in the database now, or None if it is gone or revoked."""
        return await self._now(lambda: self.access_tokens.get(access_token_id), patience)

    async def get_under(self, lease: GrantLease) -> StoredToken | None:
        """Return the grant as it was read with its lease a moment ago, else what ``get`` returns."""
        return lease.take_grant() or await self.get(lease.access_token_id)

    async def find_usable_now(
        self, search: TokenSearch, valid_for: timedelta, patience: Patience | None = None
    ) -> StoredToken | None:
        """Return the newest grant that fits and is valid that long in the database now, or None."""
        return await self._now(lambda: self.access_tokens.find_usable(search, valid_for), patience)

    async def find_longest_now(self, search: TokenSearch, valid_for: timedelta) -> StoredToken | None:
        """Return the newest grant that fits and lives, if the Hub has just shown that it gives none for longer."""
        return await self._now(lambda: self.access_tokens.find_longest(search, valid_for), None)

    async def find_refreshable(self, search: TokenSearch, patience: Patience) -> StoredToken | None:
        """Return the newest grant that fits and can be refreshed, or None."""
        return await self._now(lambda: self.access_tokens.find_refreshable(search), patience)

    async def _now(
        self, query: Callable[[], Coroutine[Any, Any, StoredToken | None]], patience: Patience | None
    ) -> StoredToken | None:
        # A statement ends although its caller is gone, and nobody else waits for this one.
        return await (_reading(query)() if patience is None else patience.read(query))

    # --- writes -----------------------------------------------------------------------------------------

    async def add(self, token: AccessToken, valid_for: timedelta = timedelta(0)) -> AccessToken:
        """Store a new grant, which the caller wanted to be valid that long, and return it with its ``id``."""
        with at_the_database():
            stored = await self.access_tokens.add(token, valid_for)
        # The newest token wins, so what was found before for this bearer has to be looked up again.
        self.cache.drop(stored.bearer_id)
        return stored

    async def replace(
        self, stored: StoredToken, token: AccessToken, valid_for: timedelta, lease: GrantLease
    ) -> StoredToken | None:
        """Replace a grant's token by one refreshed under this lease; return None if the grant is gone or revoked."""
        with at_the_database():
            replaced = await self.access_tokens.replace(stored, token, valid_for, lease)
        self.forget(token.id)
        return replaced

    async def postpone_renewal(self, stored: StoredToken) -> None:
        """Let no process renew this token ahead of time for RENEWAL_PAUSE."""
        with at_the_database():
            await self.access_tokens.postpone_renewal(stored)

    async def drop_refresh_token(self, stored: StoredToken) -> bool:
        """Delete a refresh token that the Hub no longer accepts; return False if the grant has changed since."""
        with at_the_database():
            return await self.access_tokens.drop_refresh_token(stored)

    async def delete(self, access_token_id: str) -> AccessToken | None:
        """Delete the grant, if it exists, and return what was stored at that moment, unless it was revoked.

        Raises DecryptionError if no key decrypts what has been deleted.
        """
        # Before and after, because a look-up under way must not put it back into the cache.
        self.forget(access_token_id)
        try:
            with at_the_database():
                deleted = await self.access_tokens.delete(access_token_id)
        finally:
            self.forget(access_token_id)
        return deleted.access_token if deleted else None

    def forget(self, access_token_id: str) -> None:
        """Have the grant read from the database the next time."""
        self.cache.drop(access_token_id)


def _reading(query: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Coroutine[Any, Any, T]]:
    async def read() -> T:
        with at_the_database():
            return await query()

    return read
