"""A flow is good for one callback, and its row goes when it has expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.used_flows import DELETION_PAUSE, UsedFlowRepository


async def test_a_flow_is_good_for_one_callback(database: Database) -> None:
    """In whichever process it arrives."""
    one, another = UsedFlowRepository(database), UsedFlowRepository(database)
    ends = datetime.now(UTC) + timedelta(minutes=10)
    assert await one.use("a", expires_at=ends) is True
    assert await another.use("a", expires_at=ends) is False
    assert await one.use("b", expires_at=ends) is True


async def test_expired_flows_are_deleted_now_and_then(database: Database) -> None:
    """Not by each login, which would cost it a statement."""
    clock = [0.0]
    flows = UsedFlowRepository(database, monotonic=lambda: clock[0])

    async def stored_after(seconds: float, flow: str, *, lives: int) -> int:
        clock[0] += seconds
        assert await flows.use(flow, expires_at=datetime.now(UTC) + timedelta(minutes=lives))
        counted = await database.statements.run(select(func.count()).select_from(database.tables.used_flows))
        return int(counted.rows[0][0])

    assert await stored_after(0, "first", lives=10) == 1
    assert await stored_after(1, "expired", lives=-1) == 2
    assert await stored_after(1, "another", lives=10) == 3
    assert await stored_after(DELETION_PAUSE, "later", lives=10) == 3
