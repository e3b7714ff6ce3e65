"""What is done from time to time: delete what is useless, put everything under the first key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from zaikio_oauth.errors import DecryptionError
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.revoked_tokens import RevocationRepository
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["Housekeeping"]

BATCH = 500
"""Rows in one statement, so that nobody else waits for long."""

REVOCATIONS_KEPT = timedelta(days=30)
LEASES_KEPT = timedelta(days=1)


class Housekeeping:
    """Looks after the tables; safe to run anywhere, at any time, also twice at once."""

    def __init__(
        self,
        *,
        access_tokens: AccessTokenRepository,
        revocations: RevocationRepository,
        leases: LeaseRepository,
        telemetry: Telemetry,
    ) -> None:
        self._access_tokens = access_tokens
        self._revocations = revocations
        self._leases = leases
        self._telemetry = telemetry

    async def cleanup(self) -> int:
        """Delete what can never be used again, in small batches; how many tokens there were."""
        now = datetime.now(UTC)
        deleted = 0
        while batch := await self._access_tokens.delete_useless(now, BATCH):
            deleted += batch
        await self._revocations.forget_before(now - REVOCATIONS_KEPT)
        await self._leases.forget_before(now - LEASES_KEPT)
        if deleted:
            self._telemetry.tell(TokenEvent("cleaned_up", count=deleted))
        return deleted

    async def rotate_encryption_keys(self) -> int:
        """Re-encrypt what is not under the first key, in batches; how many tokens there were.

        May be stopped and run again at any time. Raises DecryptionError at the end when a row fits no key; all
        others are done by then.
        """
        changed, after = 0, ""
        unreadable: list[str] = []
        while True:
            done = await self._access_tokens.reencrypt(after, BATCH)
            changed += done.changed
            unreadable += done.unreadable
            if done.last is None:
                break
            after = done.last
        if unreadable:
            raise DecryptionError(unreadable[0])
        return changed
