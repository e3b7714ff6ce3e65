"""Tells, once per grant and in all processes together, that it is lost: somebody has to log in or connect anew."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from zaikio_oauth.access_token import has_refresh_token
from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.ended_grants import EndedGrant, EndedGrantRepository
from zaikio_oauth.store.ended_windows import EndedWindow
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.tokens.telemetry import Kind, Telemetry, TokenEvent

__all__ = ["LostGrants"]

log = logging.getLogger("zaikio_oauth")


@dataclass(frozen=True, slots=True, eq=False)
class LostGrants:
    """Whoever marks a grant as lost in the database tells of it. Nobody does if that process ends in between."""

    ended_grants: EndedGrantRepository
    telemetry: Telemetry

    async def lose(self, stored: StoredToken) -> None:
        """Tell that this grant is lost, unless it can be renewed after all, or somebody has told.

        If the database is unavailable, the next keep-alive or cleanup reports it.
        """
        token = stored.access_token
        never_renewable = not has_refresh_token(token) and token.refresh_expires_at is None
        if stored.lost_at is not None or never_renewable:
            return
        try:
            self._tell(await self.ended_grants.lose(token.id, datetime.now(UTC)))
        except StoreUnavailableError as error:
            log.warning(
                "Access token %s is lost; this will be reported later: %s",
                token.id,
                error,
                extra={"zaikio_event": "token.lost_later", "zaikio_access_token_id": token.id},
            )

    async def lose_over(self, search: TokenSearch) -> None:
        """Tell of this bearer's grants that are over, unless somebody has told; likewise."""
        try:
            self._tell(await self.ended_grants.lose_over(datetime.now(UTC), search))
        except StoreUnavailableError as error:
            log.warning(
                "A grant of %s/%s may be lost; this will be reported later: %s",
                search[1],
                search[2],
                error,
                extra={
                    "zaikio_event": "token.perhaps_lost",
                    "zaikio_bearer_type": search[1],
                    "zaikio_bearer_id": search[2],
                },
            )

    async def lose_all_over(self, now: datetime) -> None:
        """Tell of all grants that are over; raises StoreUnavailableError."""
        async for window in self.ended_grants.windows(now):
            await self.lose_in(window, now)

    async def lose_in(self, window: EndedWindow, now: datetime) -> None:
        """Tell of the grants in this window that are over; likewise."""
        self._tell(await self.ended_grants.lose_in(window, now))

    def revoked(self, revoked: Collection[EndedGrant], lost: Collection[EndedGrant]) -> None:
        """Tell of the grants that the Hub has revoked, and which of them were not lost before."""
        self._tell(revoked, "revoked")
        self._tell(lost)

    def _tell(self, grants: Collection[EndedGrant], kind: Kind = "lost") -> None:
        for grant in grants:
            self.telemetry.tell(
                TokenEvent(
                    kind,
                    client_name=grant.client_name,
                    access_token_id=grant.access_token_id,
                    bearer_type=grant.bearer_type,
                    bearer_id=grant.bearer_id,
                )
            )
