"""Which started flows have been used: a flow is good for one callback, in whichever process it arrives."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import delete

from zaikio_oauth.store.database import Database

__all__ = ["UsedFlowRepository"]


class UsedFlowRepository:
    """The rows of ``zaikio_used_flows``: digests, so that the table tells nothing."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.used_flows
        self._insert = database.insert

    async def use(self, flow: str, *, expires_at: datetime, now: datetime) -> bool:
        """Mark the flow as used; False when it was already. Rows of flows that have ended are dropped."""
        statement = (
            self._insert(self._table)
            .values(digest=hashlib.sha256(flow.encode()).hexdigest(), expires_at=expires_at)
            .on_conflict_do_nothing(index_elements=["digest"])
        )
        fresh = bool((await self._statements.run(statement)).rowcount)
        await self._statements.run(delete(self._table).where(self._table.c.expires_at < now))
        return fresh
