"""The Hub's list of revoked tokens: fetched now and then, kept in the database, consulted for each bearer token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError, OAuthError, StoreUnavailableError
from zaikio_oauth.hub import revocation_endpoint
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.settings.retries_and_waits import (
    REVOCATION_LIST_CHECK,
    REVOCATION_LIST_CLAIM,
    REVOCATION_LIST_DELAY,
    REVOCATION_LIST_INTERVAL,
    REVOCATION_LIST_WAIT,
)
from zaikio_oauth.store.ended_grants import EndedGrant
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.token_cache import TokenCache

__all__ = ["RevocationList"]

log = logging.getLogger("zaikio_oauth")


class RevocationList:
    """Knows which tokens are revoked, for one event loop; the grants that we hold are marked in the database.

    ``verdicts`` says of tokens of others whether the token with this id is revoked.
    ``on_marked`` hears which grants were marked, and which of them were not lost before.
    """

    def __init__(
        self,
        http: HubHttp,
        revoked_tokens: RevokedTokenRepository,
        cache: TokenCache[StoredToken],
        verdicts: TokenCache[bool],
        *,
        on_marked: Callable[[list[EndedGrant], list[EndedGrant]], object],
    ) -> None:
        self._http = http
        self._revoked_tokens = revoked_tokens
        self._cache = cache
        self._verdicts = verdicts
        self._on_marked = on_marked
        self._needed = asyncio.Event()
        # Set when the list has been checked for the first time, or has been waited for long enough.
        self._ready = asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check every minute whether the list has to be fetched, for the first time in a moment or when ``needed``.

        A short script must not be about to connect to the Hub when its event loop ends.
        """
        self._checking = asyncio.create_task(self._keep_checking())

    def needed(self) -> None:
        """Check now whether the list has to be fetched, if that has not been done yet."""
        self._needed.set()
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(REVOCATION_LIST_WAIT, self._ready.set)

    async def stop(self) -> None:
        """Stop checking."""
        if self._patience is not None:
            self._patience.cancel()
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])

    async def add(self, jtis: Collection[str]) -> None:
        """Have the tokens of these ids rejected: in this process at once, in others when they learn of it."""
        revoked = frozenset(jtis)
        marked, lost = await self._revoked_tokens.add(revoked)
        # Afterwards, so that a look-up under way, which may not have seen it, does not put it back into the cache.
        self._cache.drop(*revoked)
        self._verdicts.drop(*revoked)
        if marked:
            self._on_marked(marked, lost)

    def verdict_at_hand(self, jti: str) -> bool | None:
        """Return what ``contains`` has found a moment ago, or None."""
        return self._verdicts.get(jti)

    async def contains(self, jti: str) -> bool:
        """Return True if the token of that id is revoked, by what is in the database or was read a moment ago."""
        # Right after start-up, the first list may contain it. A Hub that is slow must not hold up every request.
        self.needed()
        await self._ready.wait()
        revoked = self._verdicts.get(jti)
        if revoked is None:
            reading = self._verdicts.reading()
            revoked = await self._revoked_tokens.contains(jti)
            self._verdicts.put(jti, revoked, reading)
        return revoked

    async def fetch_if_due(self) -> bool:
        """Fetch the list unless another process has within the hour; return True if it was fetched."""
        now = datetime.now(UTC)
        if not await self._revoked_tokens.claim_list(now, REVOCATION_LIST_CLAIM, REVOCATION_LIST_INTERVAL):
            return False
        try:
            revoked = await revocation_endpoint.revoked_token_ids(self._http)
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning(
                "The Hub's list of revoked tokens cannot be fetched; tokens are trusted as before: %s",
                error,
                extra={"zaikio_event": "revocation_list.not_fetched"},
            )
            return False
        await self.add(revoked)
        # Only now, so that somebody else fetches it soon if this process has ended, or the database failed, meanwhile.
        await self._revoked_tokens.schedule_list(now + REVOCATION_LIST_INTERVAL)
        return True

    async def _keep_checking(self) -> None:
        try:
            with suppress(TimeoutError):
                # Not wait_for(), which before Python 3.12 can swallow the cancellation by stop().
                async with asyncio.timeout(REVOCATION_LIST_DELAY):
                    await self._needed.wait()
            while True:
                await self._check()
                self._ready.set()
                await asyncio.sleep(REVOCATION_LIST_CHECK)
        finally:
            # Nobody shall wait for a check that will not come.
            self._ready.set()

    async def _check(self) -> None:
        try:
            await self.fetch_if_due()
        except StoreUnavailableError as error:
            log.warning(
                "The Hub's list of revoked tokens cannot be stored; it is fetched again soon: %s",
                error,
                extra={"zaikio_event": "revocation_list.not_stored"},
            )
        except Exception:
            # The database may be unavailable for a moment; the next check is soon.
            log.exception(
                "The Hub's list of revoked tokens cannot be stored.", extra={"zaikio_event": "revocation_list.failed"}
            )
