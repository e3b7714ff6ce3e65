"""The short right to do one thing, across processes (see docs/single-flight.md)."""

from __future__ import annotations

import asyncio
import time

from zaikio_oauth.store.database import Database
from zaikio_oauth.store.leases import Lease, LeaseRepository

SHORT = 0.4
"""Seconds that a lease of these tests may be without a beat."""


def lease(database: Database, key: str = "refresh:1") -> Lease:
    return Lease(LeaseRepository(database), key, seconds=SHORT)


async def test_one_of_many_gets_it(database: Database) -> None:
    """And another one when it is given back."""
    leases = [lease(database) for _ in range(20)]
    assert sum(await asyncio.gather(*(each.acquire() for each in leases))) == 1
    assert await lease(database, "refresh:2").acquire()


async def test_it_is_free_again_when_it_was_held(database: Database) -> None:
    """However the body ends."""
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


async def test_a_holder_that_beats_keeps_it(database: Database) -> None:
    """However long the Hub takes."""
    holder, waiter = lease(database), lease(database)
    assert await holder.acquire()
    async with holder.held():
        started = time.monotonic()
        while time.monotonic() - started < SHORT * 3:
            assert not await waiter.acquire()
            await asyncio.sleep(0.05)


async def test_a_holder_that_died_is_succeeded_by_one(database: Database) -> None:
    """After the time without a beat, not before, and by one waiter only."""
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


async def test_a_holder_that_was_succeeded_does_not_take_it_away_again(database: Database) -> None:
    """It was only stalled; what it gives back is no longer its own."""
    stalled, successor = lease(database), lease(database)
    assert await stalled.acquire()
    while not await successor.acquire():
        await asyncio.sleep(0.05)

    async with stalled.held():
        pass

    assert not await lease(database).acquire()
