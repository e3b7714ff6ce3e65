"""The PostgreSQL server itself stops, crashes, or has no connection left. Each test has a server of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from tests.environment.postgresql import PostgresqlServer
from tests.faults.cells import Fault, assert_promises_are_kept
from tests.faults.postgresql_stage import on_own_server

pytestmark = pytest.mark.postgresql


def down(name: str, stop: Callable[[], object], seconds: int, server: PostgresqlServer) -> Fault:
    """Return the fault that the server stops and is back after so many seconds."""
    stopping, starting = partial(asyncio.to_thread, stop), partial(asyncio.to_thread, server.restart)
    return Fault(f"{name}, down for {seconds} s", stopping, seconds, starting)


async def test_the_server_is_restarted() -> None:
    """It is shut down while everything is under way, and is back three seconds later."""
    async with on_own_server() as (on, server):
        await assert_promises_are_kept((on.stage, down("restarted", server.shut_down, 3, server)))


async def test_the_server_crashes() -> None:
    """It is killed with signal 9 while everything is under way, and is back two seconds later."""
    async with on_own_server() as (on, server):
        await assert_promises_are_kept((on.stage, down("crashed", server.crash, 2, server)))


async def test_the_server_has_no_connection_left() -> None:
    """Others have taken every connection, for four seconds."""
    async with on_own_server(max_connections=60) as (on, _):
        await assert_promises_are_kept((on.stage, Fault("out of connections", on.occupy, 4, on.close)))
