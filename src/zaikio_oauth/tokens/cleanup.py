"""Deletes what can never be used again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zaikio_oauth.settings.retries_and_waits import EVENTS_KEPT
from zaikio_oauth.store.ended_grants import EndedGrantRepository
from zaikio_oauth.store.handled_events import HandledEventRepository
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent

__all__ = ["Cleanup"]

LOST_CONNECTIONS_KEPT = timedelta(days=90)
"""How long it is kept that an organization has to connect anew."""

REVOCATIONS_KEPT = timedelta(days=30)
LEASES_KEPT = timedelta(days=1)


def _ignored(_deleted: int) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Cleanup:
    """Deletes in small batches; may run anywhere, at any time, and several times at once."""

    ended_grants: EndedGrantRepository
    lost_grants: LostGrants
    revoked_tokens: RevokedTokenRepository
    leases: LeaseRepository
    handled_events: HandledEventRepository
    telemetry: Telemetry

    async def run(self, *, on_batch: Callable[[int], object] = _ignored) -> int:
        """Delete what can never be used again, and what is no longer needed; return how many tokens were deleted.

        ``on_batch`` hears after each batch of how many they are so far.
        """
        now = datetime.now(UTC)
        deleted = 0
        async for window in self.ended_grants.windows(now):
            await self.lost_grants.lose_in(window, now)
            if batch := await self.ended_grants.delete_in(window, now):
                deleted += batch
                on_batch(deleted)
        await self.ended_grants.forget_replaced(now - LOST_CONNECTIONS_KEPT)
        await self.revoked_tokens.delete_revoked_before(now - REVOCATIONS_KEPT)
        await self.leases.delete_acquired_before(now - LEASES_KEPT)
        await self.handled_events.delete_handled_before(now - EVENTS_KEPT)
        if deleted:
            self.telemetry.tell(TokenEvent("cleaned_up", count=deleted))
        return deleted
