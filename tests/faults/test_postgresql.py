"""PostgreSQL fails for some seconds while everything that an app does is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faults.cells import Fault, assert_promises_are_kept, assert_promises_are_kept_from_the_start
from tests.faults.postgresql_stage import OnPostgresql, on_postgresql


@pytest.fixture
async def on(postgresql_url: str) -> AsyncIterator[OnPostgresql]:
    """Yield a stage on the server of all tests."""
    async with on_postgresql(postgresql_url) as on:
        yield on


async def test_the_database_is_gone_at_the_start(on: OnPostgresql) -> None:
    """It cannot be reached when it is first needed, for four seconds."""
    fault = Fault("gone at the start", on.proxy.refuse, 4, on.proxy.restore)
    await assert_promises_are_kept_from_the_start(on.stage, fault)


async def test_the_database_becomes_read_only(on: OnPostgresql) -> None:
    """A fail-over has left the app with a standby, for four seconds."""
    await assert_promises_are_kept((on.stage, Fault("read-only", on.read_only, 4, on.writable)))


async def test_backends_are_killed_in_a_statement(on: OnPostgresql) -> None:
    """For three seconds, every connection whose statement waits for a lock is ended twice a second."""
    await assert_promises_are_kept((on.stage, Fault("backends killed", on.lock_and_kill, 3, on.stop_killing)))


async def test_the_tables_are_locked_for_5_seconds(on: OnPostgresql) -> None:
    """A migration or a backup holds the tables."""
    await assert_promises_are_kept((on.stage, Fault("locked for 5 s", on.lock, 5, on.close)))
