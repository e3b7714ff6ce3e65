"""Leases: one process at a time may do one thing (see docs/explanation/single-flight.md)."""

from __future__ import annotations

import asyncio
import time

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.leases import Lease, LeaseRepository

SHORT = 0.4
"""Seconds after which a lease that is not renewed expires."""


def lease(database: Database, key: str = "refresh:1") -> Lease:
    return LeaseRepository(database, seconds=SHORT).lease(key)


async def test_one_of_many_gets_the_lease(database: Database) -> None:
    """A lease with another key is independent."""
    leases = [lease(database) for _ in range(20)]
    assert sum(await asyncio.gather(*(each.acquire() for each in leases))) == 1
    assert await lease(database, "refresh:2").acquire()


async def test_a_lease_is_released_at_the_end(database: Database) -> None:
    """This holds even if the body raises an exception."""
    first, second = lease(database), lease(database)
    assert await first.acquire()
    try:
        async with first.held():
            assert not await second.acquire()
            raise ValueError("the body fails")
    except ValueError:
        pass
    assert await second.acquire()
    assert not second.taken_over


async def test_a_holder_keeps_its_lease_as_long_as_it_needs(database: Database) -> None:
    """The holder renews the lease, however long the request to the Hub takes."""
    holder, waiter = lease(database), lease(database)
    assert await holder.acquire()
    async with holder.held():
        started = time.monotonic()
        while time.monotonic() - started < SHORT * 3:
            assert not await waiter.acquire()
            await asyncio.sleep(0.05)


async def test_an_expired_lease_goes_to_one_of_the_waiters(database: Database) -> None:
    """The lease of a terminated holder is free after its time, not earlier, and only one waiter gets it."""
    assert await lease(database).acquire()
    waiters = [lease(database) for _ in range(5)]
    started = time.monotonic()
    successors: list[Lease] = []
    while not successors:
        taken = await asyncio.gather(*(waiter.acquire() for waiter in waiters))
        successors = [waiter for waiter, got in zip(waiters, taken, strict=True) if got]
        await asyncio.sleep(0.02)

    assert SHORT <= time.monotonic() - started < SHORT + 2
    assert len(successors) == 1
    assert successors[0].taken_over


async def test_a_holder_does_not_release_a_lease_it_has_lost(database: Database) -> None:
    """A stalled holder has lost its lease to another one and does not affect it."""
    stalled, successor = lease(database), lease(database)
    assert await stalled.acquire()
    while not await successor.acquire():
        await asyncio.sleep(0.05)

    async with stalled.held():
        pass

    assert not await lease(database).acquire()
