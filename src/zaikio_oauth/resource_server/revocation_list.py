"""Tokens that are revoked elsewhere: the Hub's list, and Loom's events."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from zaikio_oauth.errors import HubUnavailableError, InvalidResponseError, OAuthError
from zaikio_oauth.hub import revocation_endpoint as revocation
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.store.access_tokens import StoredToken
from zaikio_oauth.store.revoked_tokens import RevocationRepository
from zaikio_oauth.store.token_cache import TokenCache

__all__ = ["Revocations", "loom_signature", "revoked_by_event"]

EVERY = timedelta(hours=1)
"""How often the Hub's list is fetched, by all processes together."""

AFTER_FAILURE = timedelta(minutes=5)
LOOK = 60.0
"""Seconds between two looks of one process at whether the list is due."""

EVENT_NAMES = frozenset({"zaikio.revoked_access_token", "directory.revoked_access_token"})

log = logging.getLogger("zaikio_oauth")


class Revocations:
    """Keeps the store and this process's cache free of what the Hub has revoked."""

    def __init__(
        self,
        *,
        http: HubHttp,
        repository: RevocationRepository,
        cache: TokenCache[StoredToken],
        cache_ttl: float,
        on_marked: Callable[[int], object],
    ) -> None:
        self._http = http
        self._repository = repository
        self._cache = cache
        # Of tokens that come in: whether the one of this id is revoked.
        self._known: TokenCache[bool] = TokenCache(cache_ttl)
        self._looked = asyncio.Event()
        self._looked.set()
        self._on_marked = on_marked

    async def mark(self, jtis: Collection[str]) -> None:
        """Refuse the tokens of these ids from now on: here at once, elsewhere when a cache has aged."""
        revoked = frozenset(jtis)
        self._cache.drop_if(lambda kept: kept.access_token.jti in revoked)
        marked = await self._repository.add(revoked, datetime.now(UTC))
        # Again: a look-up on its way may have put it back.
        self._cache.drop_if(lambda kept: kept.access_token.jti in revoked)
        for jti in revoked:
            self._known.drop(jti)
        if marked:
            self._on_marked(marked)

    async def contain(self, jti: str) -> bool:
        """Whether the token of that id is revoked, stored here or not; what was read a moment ago counts."""
        # Right after the start: the first list may name it.
        await self._looked.wait()
        known = self._known.get(jti)
        if known is None:
            dropped = self._known.dropped
            known = await self._repository.contains(jti)
            self._known.put(jti, known, dropped=dropped)
        return known

    async def fetch_if_due(self) -> bool:
        """Fetch the Hub's list if no process has within the hour; whether it was fetched. Failures are logged."""
        now = datetime.now(UTC)
        if not await self._repository.claim_list(now, EVERY):
            return False
        try:
            await self.mark(await revocation.revoked_token_ids(self._http))
        except (HubUnavailableError, InvalidResponseError, OAuthError) as error:
            log.warning("The Hub's list of revoked tokens cannot be fetched; tokens are trusted as before: %s", error)
            await self._repository.list_due(now + AFTER_FAILURE)
            return False
        return True

    def keep_fetching(self) -> asyncio.Task[None]:
        """Look every minute whether the list is due, from now on; ends by being cancelled."""
        self._looked.clear()
        return asyncio.create_task(self._keep_fetching())

    async def _keep_fetching(self) -> None:
        while True:
            try:
                await self.fetch_if_due()
            except Exception:
                # The database may be away for a moment; the next look is soon.
                log.exception("The Hub's list of revoked tokens cannot be kept.")
            finally:
                self._looked.set()
            await asyncio.sleep(LOOK)


def loom_signature(body: bytes, secret: str) -> str:
    """What ``X-Loom-Signature`` has to be: hex HMAC-SHA256 of the raw body (Hub documentation, "Revocation")."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


def revoked_by_event(body: bytes) -> str | None:
    """The id of the token that an event says is revoked; None for any other event, ValueError for no event."""
    event = json.loads(body)
    if not isinstance(event, dict) or not isinstance(event.get("name"), str):
        raise ValueError("not an event")  # noqa: TRY004 (what was received is wrong, not how this was called)
    if event["name"] not in EVENT_NAMES:
        return None
    payload = event.get("payload")
    jti = payload.get("access_token_id") if isinstance(payload, dict) else None
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise ValueError("an event that names no token")
    return jti
