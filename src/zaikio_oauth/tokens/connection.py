"""Connection, an organization or person whose grant we hold, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.store.newest_grants import NewestGrant, NewestGrantRepository

__all__ = ["Connection", "ConnectionList", "Health"]

Health = Literal["ok", "ageing", "lost"]

AGEING = timedelta(days=1)
"""How long before its refresh token dies a connection is called ageing."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An organization that has connected the app, or a person who has logged in: their newest grant, without its token.

    ``access_token_id`` is the ``AccessToken.id``. ``connected_at``: when the grant was obtained; ``refreshed_at``: when
    it was last refreshed, or None. ``refresh_expires_at``: until when it can be refreshed; None if that is not known,
    or if the token came by client credentials and needs no refresh token.

    ``health``: ``"ok"``; ``"ageing"``, if its refresh token expires within a day; ``"lost"``, if the Hub has refused or
    revoked it, or its refresh token has died: it cannot be renewed, and somebody has to log in or connect anew.

        async for connection in connections():
            if connection.health == "lost":
                print(f"{connection.bearer_id} has to connect again")
    """

    access_token_id: str
    client_name: str
    bearer_type: BearerType
    bearer_id: str
    scopes: tuple[str, ...]
    connected_at: datetime
    refreshed_at: datetime | None
    expires_at: datetime
    refresh_expires_at: datetime | None
    health: Health

    def dies_within(self, duration: timedelta, now: datetime | None = None) -> bool:
        """Return True if its refresh token lives, but for no longer than ``duration``, counted from ``now``."""
        if self.health == "lost" or self.refresh_expires_at is None:
            return False
        return self.refresh_expires_at - (now or datetime.now(UTC)) <= duration


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionList:
    """Reads the connections from the database."""

    newest_grants: NewestGrantRepository

    async def page(self, client_name: str, bearer_type: BearerType, after: str = "") -> list[Connection]:
        """Return the connections whose bearer's id follows ``after``, in that order; the last page is empty."""
        now = datetime.now(UTC)
        grants = await self.newest_grants.page(client_name, bearer_type, after, now)
        return [
            Connection(
                access_token_id=grant.access_token_id,
                client_name=client_name,
                bearer_type=bearer_type,
                bearer_id=grant.bearer_id,
                scopes=grant.scopes,
                connected_at=grant.connected_at,
                refreshed_at=grant.refreshed_at,
                expires_at=grant.expires_at,
                refresh_expires_at=grant.refresh_expires_at,
                health=_health(grant, now),
            )
            for grant in grants
        ]


def _health(grant: NewestGrant, now: datetime) -> Health:
    if grant.lost:
        return "lost"
    if grant.refresh_expires_at is not None and grant.refresh_expires_at - now <= AGEING:
        return "ageing"
    return "ok"
