"""Single flight: many callers share one call, and waiters continue if the process that makes it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from tests.inside import parts_of, replace_row
from tests.visitor import expiring_token
from zaikio_oauth import HubUnavailableError, Settings, ZaikioOAuth
from zaikio_oauth.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.store.single_flight import SingleFlight, once_across_processes
from zaikio_oauth.testing import LocalHub


class Taken:
    """A lease that another process holds until ``free`` is set."""

    def __init__(self) -> None:
        self.free = False

    async def acquire(self) -> bool:
        return self.free

    def held(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


async def nothing() -> None:
    return None


async def unexpected() -> str:
    raise AssertionError("called without the lease")


async def test_a_waiter_stops_at_its_deadline() -> None:
    """The error says how long it waited, and the call was not made."""
    started = time.monotonic()
    with pytest.raises(HubUnavailableError, match="another process is still asking") as caught:
        await once_across_processes(Taken(), result=nothing, call=unexpected, deadline=0.5)

    assert 0.5 <= caught.value.elapsed <= time.monotonic() - started < 2


async def test_a_waiter_uses_the_result_of_the_holder() -> None:
    """The waiter never gets the lease."""
    looks = iter([None, None, "reached"])

    async def result() -> str | None:
        return next(looks)

    assert await once_across_processes(Taken(), result=result, call=unexpected, deadline=5) == "reached"


async def test_a_result_is_looked_up_again_after_getting_the_lease() -> None:
    """A second request would use the refresh token twice."""
    lease = Taken()
    lease.free = True

    async def result() -> str:
        return "reached"

    assert await once_across_processes(lease, result=result, call=unexpected, deadline=5) == "reached"


async def test_a_failure_reaches_all_callers_and_is_not_kept() -> None:
    """The next call is made again."""
    flights, calls = SingleFlight(), 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        raise ValueError("once")

    outcomes = await asyncio.gather(*(flights.run("key", fail) for _ in range(5)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["once"] * 5
    with pytest.raises(ValueError, match="once"):
        await flights.run("key", fail)
    assert calls == 2
    await flights.drain()


async def test_invalid_grant_after_a_takeover_waits_for_the_other_result(zaikio: ZaikioOAuth, hub: LocalHub) -> None:
    """The previous holder may only be stalled: it has used the refresh token and stores the new token a moment later."""
    token = await expiring_token(zaikio, hub)
    parts = await parts_of(zaikio)
    stalled = parts.issuance.leases.lease(f"refresh:{token.id}")
    assert await stalled.acquire()
    hub.spend_refresh_tokens()
    waiting = asyncio.create_task(zaikio.find_active_access_token(token.id))
    while hub.count(grant_type="refresh_token") == 0:
        await asyncio.sleep(0.1)
        assert not waiting.done()

    fresh = token.model_copy(update={"token": "what the stalled one got", "refresh_token": "and this"})
    await replace_row(parts.access_tokens, fresh)

    started = time.monotonic()
    found = await waiting
    assert found is not None
    assert found.token == "what the stalled one got"
    assert time.monotonic() - started < LEASE_SECONDS


def test_asyncio_run_waits_for_a_running_call() -> None:
    """``asyncio.run`` cancels every task at its end. A cancelled refresh would lose its refresh token."""
    done: list[str] = []

    async def flight() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(0.2)
        done.append("landed")

    async def script() -> None:
        flights = SingleFlight()
        caller = asyncio.create_task(flights.run("key", flight))
        await asyncio.sleep(0.05)
        assert not caller.done()

    asyncio.run(script())
    assert done == ["landed"]


async def test_timeouts_inside_a_call_work() -> None:
    """A call cannot take longer than its timeout."""

    async def flight() -> None:
        async with asyncio.timeout(0.05):
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await SingleFlight().run("key", flight)


def test_a_script_that_ends_during_a_refresh_keeps_the_grant(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """The script closes nothing, and the next run finds the refreshed token."""

    async def log_in() -> str:
        async with ZaikioOAuth(make_settings()) as zaikio:
            return (await expiring_token(zaikio, hub)).id

    async def leave(token_id: str) -> None:
        asyncio.create_task(ZaikioOAuth(make_settings()).find_active_access_token(token_id))  # noqa: RUF006
        while hub.faults.planned:
            await asyncio.sleep(0.01)

    async def come_back(token_id: str) -> bool:
        async with ZaikioOAuth(make_settings()) as zaikio:
            return await zaikio.find_active_access_token(token_id) is not None

    token_id = asyncio.run(log_in())
    hub.fail("refresh_token", latency=0.8)
    asyncio.run(leave(token_id))
    hub.fail("refresh_token", status=400, body={"error": "invalid_grant"}, times=None)
    assert asyncio.run(come_back(token_id))
    assert hub.count(grant_type="refresh_token") == 1
