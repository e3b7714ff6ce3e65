"""Which logins have been answered: a flow is good for one callback, in whichever process it arrives."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import delete, select

from zaikio_oauth.errors import StoreUnavailableError
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
        digest, callback = hashlib.sha256(flow.encode()).hexdigest(), str(uuid.uuid4())
        insert = (
            self._insert(self._table)
            .values(digest=digest, expires_at=expires_at, used_by=callback)
            .on_conflict_do_nothing(index_elements=["digest"])
        )
        # Not by the number of rows: after a connection that broke it is written again, and may be there already.
        used_by = select(self._table.c.used_by).where(self._table.c.digest == digest)
        row = (await self._statements.run(insert, used_by)).first
        # What could not be deleted now will be by the next one; this flow is used nevertheless.
        with suppress(StoreUnavailableError):
            await self._statements.run(delete(self._table).where(self._table.c.expires_at < datetime.now(UTC)))
        return row is not None and row.used_by == callback
