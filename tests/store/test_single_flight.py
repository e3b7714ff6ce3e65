"""Single flight: many callers share one call, and waiters continue if the process that makes it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.data import ORGANIZATION_ID, PERSON_ID, some_access_token
from tests.inside import parts_of, replace_row
from tests.visitor import expiring_token
from zaikio_oauth import HubUnavailableError, Settings, StoreUnavailableError, ZaikioOAuth
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.store.single_flight import Patience, SingleFlight, at_the_database, once_across_processes
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


async def test_a_failure_reaches_all_callers_and_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The next call is made again. The log says nothing of a failure that a caller hears of."""
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
    await asyncio.sleep(0)
    assert caplog.messages == []


async def test_a_caller_of_a_call_that_has_just_ended_makes_a_new_one() -> None:
    """Whoever wakes up with a result may ask again at once, and must not get the old one."""
    flights, calls = SingleFlight(), 0

    async def count() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    async def twice() -> tuple[int, int]:
        return await flights.run("key", count), await flights.run("key", count)

    assert await asyncio.gather(twice(), twice()) == [(1, 2), (1, 2)]


async def test_a_call_that_is_cancelled_before_it_begins_ends_for_its_callers() -> None:
    """They do not wait for it for ever, and the next one makes a new call."""
    flights = SingleFlight()
    caller = asyncio.create_task(flights.run("key", nothing, name="not begun"))
    await asyncio.sleep(0)
    (call,) = (task for task in asyncio.all_tasks() if task.get_name() == "not begun")
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 5)
    assert await flights.run("key", nothing) is None


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


async def test_invalid_grant_after_losing_the_lease_waits_for_the_other_result(
    zaikio: ZaikioOAuth, hub: LocalHub
) -> None:
    """Whoever has taken the lease over may have used the refresh token, and stores what it got a moment later."""
    token = await expiring_token(zaikio, hub)
    parts = await parts_of(zaikio)
    leases, key = parts.issuance.leases, f"refresh:{token.id}"
    hub.fail("refresh_token", latency=1)
    waiting = asyncio.create_task(zaikio.find_active_access_token(token.id))
    await asyncio.sleep(0.3)
    held = await leases.read(key)
    assert held is not None
    assert await leases.change(key, held, replace(held, holder="another process"))
    hub.spend_refresh_tokens()
    while hub.count(grant_type="refresh_token") == 0:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    assert not waiting.done()

    stored = await parts.access_tokens.get(token.id)
    assert stored is not None
    await parts.access_tokens.replace(stored, token.model_copy(update={"token": "what the other one got"}))

    found = await waiting
    assert found is not None
    assert found.token == "what the other one got"


async def test_every_caller_waits_only_as_long_as_its_own_patience() -> None:
    """The call goes on, and whoever has more patience gets its result."""
    flights = SingleFlight()

    async def slow() -> str:
        await asyncio.sleep(0.6)
        return "landed"

    patient = asyncio.create_task(flights.run("key", slow, patience=Patience(10)))
    with pytest.raises(HubUnavailableError) as hub_error:
        await flights.run("key", slow, patience=Patience(0.2))
    assert 0.2 <= hub_error.value.elapsed < 0.5
    assert await patient == "landed"


async def test_a_caller_hears_whether_it_was_the_database_that_it_waited_for() -> None:
    """A call that has the Hub's response and cannot store it is not a failure of the Hub."""
    flights, ending = SingleFlight(), asyncio.Event()

    async def storing() -> None:
        with at_the_database():
            await ending.wait()

    with pytest.raises(StoreUnavailableError, match="not answered in time"):
        await flights.run("key", storing, patience=Patience(0.1))
    ending.set()
    await flights.drain()


async def test_a_call_that_fails_when_nobody_waits_any_more_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Its message is shown if it is ours; another's could hold a secret."""
    flights = SingleFlight()
    for error in [HubUnavailableError("it is silent"), ValueError("a secret")]:

        async def fail(error: Exception = error) -> None:
            await asyncio.sleep(0.1)
            raise error

        flights.begin(error, fail, name="The refresh of a token")
    await flights.drain()
    await asyncio.sleep(0)

    assert [text.partition(": ")[2] for text in caplog.messages] == [
        "The Zaikio Hub is not available: it is silent (tried for 0.0 s).",
        "ValueError",
    ]


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


def test_a_script_that_ends_while_the_names_of_roles_are_fetched_keeps_the_grant(
    make_settings: Callable[..., Settings], hub: LocalHub
) -> None:
    """A token must not be lost because a name is missing."""
    over = datetime.now(UTC) - timedelta(minutes=1)
    acting = {"id": PERSON_ID, "type": "Person"}
    grant = some_access_token(
        bearer_type="Organization", bearer_id=ORGANIZATION_ID, on_behalf_of=acting, expires_at=over
    )
    claims = {"sub": f"Person/{PERSON_ID}>Organization/{ORGANIZATION_ID}", "jti": "fresh", "roles": 3}
    body = {
        "access_token": hub.grants.keys.sign(claims | {"iss": "ZAI", "exp": 4_000_000_000, "scope": []}),
        "expires_in": 3600,
        "bearer": {"id": ORGANIZATION_ID, "type": "Organization"},
        "bearer_on_behalf_of": acting,
    }

    async def store() -> str:
        async with ZaikioOAuth(make_settings()) as zaikio:
            return (await (await parts_of(zaikio)).access_tokens.add(grant)).id

    async def leave(token_id: str) -> None:
        asyncio.create_task(ZaikioOAuth(make_settings()).find_active_access_token(token_id))  # noqa: RUF006
        while hub.faults.planned:
            await asyncio.sleep(0.01)

    async def come_back(token_id: str) -> str | None:
        async with ZaikioOAuth(make_settings()) as zaikio:
            found = await zaikio.find_active_access_token(token_id)
            return found and found.token

    token_id = asyncio.run(store())
    hub.fail("refresh_token", body=body)
    hub.fail("/api/v1/roles", latency=0.8)
    asyncio.run(leave(token_id))
    assert asyncio.run(come_back(token_id)) == body["access_token"]
    assert hub.count(grant_type="refresh_token") == 1
