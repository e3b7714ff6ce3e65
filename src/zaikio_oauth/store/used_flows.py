"""Which logins have been answered: a flow is good for one callback, in whichever process it arrives."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from sqlalchemy import delete

from zaikio_oauth.store.database import Database

__all__ = ["UsedFlowRepository"]


class UsedFlowRepository:
    """The rows of ``zaikio_used_flows``, which hold digests only."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.used_flows
        self._insert = database.insert

    async def use(self, flow: str, *, expires_at: datetime) -> bool:
        """Mark the flow as used; return False if it was already. Delete the rows of expired flows."""
        statement = (
            self._insert(self._table)
            .values(digest=hashlib.sha256(flow.encode()).hexdigest(), expires_at=expires_at)
            .on_conflict_do_nothing(index_elements=["digest"])
        )
        fresh = bool((await self._statements.run(statement)).rowcount)
        await self._statements.run(delete(self._table).where(self._table.c.expires_at < datetime.now(UTC)))
        return fresh
