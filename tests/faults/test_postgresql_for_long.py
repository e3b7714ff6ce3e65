"""PostgreSQL cannot be used for longer than anybody waits. The faults are played at once, each on a stage of its own."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.environment.postgresql import ExistingServer
from tests.faults.cells import Fault, assert_promises_are_kept
from tests.faults.postgresql_stage import new_database, on_postgresql


async def test_the_database_cannot_be_used_for_long(postgresql_server: ExistingServer) -> None:
    """It is locked for 40 s; its network stalls for 20 s; it refuses connections for 10 s."""
    async with AsyncExitStack() as stack:
        locked, stalled, refusing = [
            await stack.enter_async_context(on_postgresql(await new_database(postgresql_server))) for _ in range(3)
        ]
        await assert_promises_are_kept(
            (locked.stage, Fault("locked for 40 s", locked.lock, 40, locked.close)),
            (stalled.stage, Fault("stalled for 20 s", stalled.proxy.stall, 20, stalled.proxy.restore)),
            (refusing.stage, Fault("refused for 10 s", refusing.proxy.refuse, 10, refusing.proxy.restore)),
        )
