"""PostgreSQL fails for some seconds while everything that an app does is under way."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.environment.postgresql import ExistingServer
from tests.faults.cells import Fault, assert_promises_are_kept, assert_promises_are_kept_from_the_start
from tests.faults.postgresql_stage import new_database, on_postgresql


async def test_the_database_is_gone_at_the_start(postgresql_url: str) -> None:
    """It cannot be reached when it is first needed, for four seconds."""
    async with on_postgresql(postgresql_url) as on:
        fault = Fault("gone at the start", on.proxy.refuse, 4, on.proxy.restore)
        await assert_promises_are_kept_from_the_start(on.stage, fault)


async def test_the_database_cannot_be_used_for_some_seconds(postgresql_server: ExistingServer) -> None:
    """A fail-over leaves the app with a standby; waiting statements are killed twice a second; tables are locked."""
    async with AsyncExitStack() as stack:
        standby, killing, locked = [
            await stack.enter_async_context(on_postgresql(await new_database(postgresql_server))) for _ in range(3)
        ]
        await assert_promises_are_kept(
            (standby.stage, Fault("read-only for 4 s", standby.read_only, 4, standby.writable)),
            (killing.stage, Fault("backends killed for 3 s", killing.lock_and_kill, 3, killing.stop_killing)),
            (locked.stage, Fault("locked for 5 s", locked.lock, 5, locked.close)),
        )
