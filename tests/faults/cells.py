"""Plays faults with all operations at once, and reports each that broke a promise, by name."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.operations import OPERATIONS, Operation
from tests.faults.stage import HUB_SECONDS, Stage, nothing_left_behind

SLOW = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
    "/oauth/delegate",
    "/api/v1/revoked_access_tokens",
)


@dataclass
class Fault:
    """A fault: how it begins, for how many seconds it lasts, and how it ends. The two may be sync or async."""

    name: str
    begin: Callable[[], Any]
    seconds: float
    end: Callable[[], Any]


class Cells:
    """The operations of one stage, by name: each one ``before`` the fault, which hits it, and one ``during`` it."""

    def __init__(self, stage: Stage, fault: Fault, operations: Iterable[type[Operation]], times: Iterable[str]) -> None:
        self.stage = stage
        self.fault = fault
        self.failures: list[str] = []
        self.seen: list[str] = []
        self.cells = {f"{fault.name}, {kind.__name__}, {when}": kind(stage) for when in times for kind in operations}
        self._begun: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Log everybody in, wait until the tokens that have to be refreshed have expired, and slow the Hub down."""
        for cell in self.cells.values():
            await cell.prepare()
        await asyncio.sleep(1.2)
        for target in SLOW:
            self.stage.hub.fail(target, latency=HUB_SECONDS, times=None)

    def begin(self, when: str) -> None:
        """Begin these operations."""
        for name, cell in self.cells.items():
            if name.endswith(when):
                self._begun.append(asyncio.create_task(self._attempt(name, cell.in_time)))

    async def suffer(self) -> None:
        """Begin the fault, begin what is done during it, end the fault, and wait for the operations to end."""
        await _called(self.fault.begin)
        self.begin("during")
        await asyncio.sleep(self.fault.seconds)
        await _called(self.fault.end)
        await asyncio.gather(*self._begun)

    async def verify(self) -> None:
        """Check, after the fault, that nothing is lost and that everything works again."""
        self.stage.hub.clear_faults()
        await asyncio.gather(*(self._attempt(f"{name}, afterwards", cell.verify) for name, cell in self.cells.items()))
        for cell in self.cells.values():
            await cell.close()

    def report(self) -> None:
        """Fail if a promise was broken; the message also says what the others were told."""
        assert not self.failures, "\n".join(["promises were broken:", *self.failures, "", *self.seen])

    async def _attempt(self, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.seen.append(f"{name}: {await call()}")
        except Exception as error:
            self.failures.append(f"{name}: {_described(error)}")


async def assert_promises_are_kept(
    stage: Stage, fault: Fault, operations: Iterable[type[Operation]] = OPERATIONS
) -> None:
    """Play the fault and fail with one line for each operation that broke a promise."""
    cells = Cells(stage, fault, operations, ("before", "during"))
    async with _no_traces(cells), stage.zaikio:
        await cells.prepare()
        cells.begin("before")
        await asyncio.sleep(HUB_SECONDS / 2)
        await cells.suffer()
        await cells.verify()
    cells.report()


async def assert_promises_are_kept_from_the_start(
    stage: Stage, fault: Fault, operations: Iterable[type[Operation]] = OPERATIONS
) -> None:
    """Play a fault that is there before anything is open."""
    cells = Cells(stage, fault, operations, ("during",))
    async with _no_traces(cells):
        async with stage.zaikio:
            await cells.prepare()
        await cells.suffer()
        async with stage.zaikio:
            await cells.verify()
    cells.report()


@asynccontextmanager
async def _no_traces(cells: Cells) -> AsyncIterator[None]:
    """Report what is left behind: tasks, files, connections, complaints of asyncio."""
    with nothing_left_behind() as left:
        yield
        # asyncio closes transports in the next round of the loop, the server ends its side a moment later.
        await asyncio.sleep(0.2)
        if connections := await cells.stage.connections():
            left.append(f"{connections} connections to the database are left")
    cells.failures += [f"{cells.fault.name}, at the end: {each}" for each in left]


async def _called(call: Callable[[], Any]) -> None:
    result = call()
    if inspect.isawaitable(result):
        await result


def _described(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:200]} ({where.filename.rpartition('/')[2]}:{where.lineno})"
