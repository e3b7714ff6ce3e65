"""Every operation is cancelled at each of its awaits: a client that goes away, a time-out, a task group that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from tests.faults.operations import (
    Approve,
    BearerTokenIn,
    Cleanup,
    Delegation,
    Device,
    Logout,
    Operation,
    RefreshByAPage,
    Rotation,
    Webhook,
    WithAuthByClientCredentials,
    WithAuthByRefresh,
)
from tests.faults.stage import Stage, a_hub, eventually, nothing_left_behind
from tests.faults.upkeep_operations import (
    Connections,
    Event,
    KeepAlive,
    RenewalByClientCredentials,
    RenewalByRefresh,
)
from zaikio_oauth.testing import HubServer

WITH_A_HUB = (
    Approve,
    RefreshByAPage,
    WithAuthByRefresh,
    WithAuthByClientCredentials,
    Logout,
    Device,
    Delegation,
    RenewalByRefresh,
    RenewalByClientCredentials,
    KeepAlive,
)
# Sync code has no await; what becomes of a thread that is interrupted is in docs/sync-code.md.
WITHOUT_A_HUB = (Webhook, Cleanup, Rotation, BearerTokenIn, Connections, Event)


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that counts its awaits, and whose task is cancelled at one of them."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], cancel_at: int | None = None) -> None:
        self._coroutine = coroutine
        self._cancel_at = cancel_at
        self.steps = 0

    def send(self, value: Any) -> Any:
        awaited = self._coroutine.send(value)
        self.steps += 1
        if self.steps == self._cancel_at:
            task = asyncio.current_task()
            assert task is not None
            # Soon, because the task waits for what was awaited only when this step has ended.
            asyncio.get_running_loop().call_soon(task.cancel)
        return awaited

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


async def steps_of(operation: Operation) -> int:
    """Return how many awaits the operation has if nobody cancels it."""
    stepped = Stepped(operation.once())
    await asyncio.create_task(stepped)
    return stepped.steps


async def cancelled(operation: Operation, at: int) -> None:
    """Cancel the operation at this await, then check that nothing is lost and that it works afterwards."""
    task = asyncio.create_task(Stepped(operation.once(), cancel_at=at))
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    if isinstance(operation, Logout):
        await _all_or_nothing(operation)
    else:
        await operation.verify()


async def _all_or_nothing(logout: Logout) -> None:
    """Fail if the grant is deleted but not revoked, or revoked but not deleted."""
    (issued,) = logout.stage.issued(logout.person)

    async def consistent() -> None:
        stored, revoked = issued.jti in await logout.stage.stored(), issued.jti in logout.stage.hub.grants.revoked()
        assert stored is not revoked, f"stored: {stored}, revoked: {revoked}"

    await eventually(consistent)


async def cancel_everywhere(database_url: str, kinds: tuple[type[Operation], ...]) -> None:
    """Cancel each operation at each of its awaits and fail with the names of those that lost something."""
    hub = a_hub()
    failures: list[str] = []
    with HubServer(hub) as server, nothing_left_behind() as left:
        stage = Stage(hub, server.url, database_url, database_url)
        async with stage.zaikio:
            measured = [kind(stage) for kind in kinds]
            for operation in measured:
                await operation.prepare()
            await asyncio.sleep(1.2)
            counts = {type(operation): await steps_of(operation) for operation in measured}
            cells = [(kind(stage), at) for kind, count in counts.items() for at in range(1, count + 1)]
            for operation, _ in cells:
                await operation.prepare()
            await asyncio.sleep(1.2)
            results = await asyncio.gather(*(cancelled(*cell) for cell in cells), return_exceptions=True)
            for (operation, at), result in zip(cells, results, strict=True):
                if isinstance(result, BaseException):
                    failures.append(f"{type(operation).__name__} at {at} of {counts[type(operation)]}: {result!r}")
            for operation in [*measured, *(operation for operation, _ in cells)]:
                await operation.close()
            ((leases,),) = await stage.query("SELECT count(*) FROM zaikio_leases")
            assert leases == 0
        await asyncio.sleep(0.2)
        if connections := await stage.connections():
            left.append(f"{connections} connections to the database are left")
    assert failures + left == []
    assert len(cells) >= len(kinds)


async def test_what_asks_the_hub_is_cancelled_at_every_await(database_url: str) -> None:
    """What the Hub gave is stored or revoked, everybody stays logged in, and nothing is left behind."""
    await cancel_everywhere(database_url, WITH_A_HUB)


async def test_what_asks_only_the_database_is_cancelled_at_every_await(database_url: str) -> None:
    """An event that is delivered again is taken, and a clean-up or a rotation goes on where it was."""
    await cancel_everywhere(database_url, WITHOUT_A_HUB)
