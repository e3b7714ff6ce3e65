"""Which logins have been answered: a flow is good for one callback, in whichever process it arrives."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.statements import Bound

__all__ = ["UsedFlowRepository"]

DELETION_PAUSE = 60.0
"""How many seconds a process leaves expired flows alone after it has deleted some."""


class UsedFlowRepository:
    """The rows of ``zaikio_used_flows``, which hold digests only."""

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._statements = database.statements
        self._monotonic = monotonic
        self._deleted_at: float | None = None
        table = database.tables.used_flows
        insert = database.insert(table)
        # Not by the number of rows: after a connection that broke it is written again, and may be there already.
        self._use = insert.on_conflict_do_update(
            index_elements=["digest"], set_={"used_by": table.c.used_by}
        ).returning(table.c.used_by)
        self._delete = delete(table).where(table.c.expires_at < bindparam("now", type_=table.c.expires_at.type))

    async def use(self, flow: str, *, expires_at: datetime) -> bool:
        """Mark the flow as used; return False if it was already. Now and then, delete the rows of expired flows."""
        digest, callback = hashlib.sha256(flow.encode()).hexdigest(), str(uuid.uuid4())
        values = {"digest": digest, "expires_at": expires_at, "used_by": callback}
        row = (await self._statements.run(Bound(self._use, values))).first
        now = self._monotonic()
        if self._deleted_at is None or now - self._deleted_at >= DELETION_PAUSE:
            self._deleted_at = now
            # What could not be deleted now will be later; this flow is used nevertheless.
            with suppress(StoreUnavailableError):
                await self._statements.run(Bound(self._delete, {"now": datetime.now(UTC)}))
        return row is not None and row.used_by == callback
