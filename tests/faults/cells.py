"""Plays faults with all operations at once, and reports each that broke a promise, by name."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.faults.operations import OPERATIONS
from tests.faults.stage import HUB_SECONDS, Stage, nothing_left_behind
from tests.faults.upkeep_operations import UPKEEP

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

    def __init__(self, stage: Stage, fault: Fault, times: tuple[str, ...]) -> None:
        self.stage = stage
        self.fault = fault
        self.failures: list[str] = []
        self.seen: list[str] = []
        kinds = (*OPERATIONS, *UPKEEP)
        self.cells = {f"{fault.name}, {kind.__name__}, {when}": kind(stage) for when in times for kind in kinds}
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

    async def _attempt(self, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.seen.append(f"{name}: {await call()}")
        except Exception as error:
            self.failures.append(f"{name}: {_described(error)}")


async def assert_promises_are_kept(*plays: tuple[Stage, Fault]) -> None:
    """Play each fault on its stage, all at once; fail with one line for each operation that broke a promise."""
    several = [Cells(stage, fault, ("before", "during")) for stage, fault in plays]
    async with _no_traces(several):
        await asyncio.gather(*(_play(cells) for cells in several))
    _report(several)


async def assert_promises_are_kept_from_the_start(stage: Stage, fault: Fault) -> None:
    """Play a fault that is there before anything is open."""
    cells = Cells(stage, fault, ("during",))
    async with _no_traces([cells]):
        async with stage.zaikio:
            await cells.prepare()
        async with stage.lateness.watched():
            await cells.suffer()
        async with stage.zaikio:
            await cells.verify()
    _report([cells])


async def _play(cells: Cells) -> None:
    async with cells.stage.zaikio, cells.stage.lateness.watched():
        await cells.prepare()
        cells.begin("before")
        await asyncio.sleep(HUB_SECONDS / 2)
        await cells.suffer()
        await cells.verify()


@asynccontextmanager
async def _no_traces(several: list[Cells]) -> AsyncIterator[None]:
    """Report what is left behind: tasks, files, connections, complaints of asyncio."""
    with nothing_left_behind() as left:
        yield
        # asyncio closes transports in the next round of the loop, the server ends its side a moment later.
        await asyncio.sleep(0.2)
        for cells in several:
            if connections := await cells.stage.connections():
                left.append(f"{connections} connections to the database are left")
    several[0].failures += [f"at the end: {each}" for each in left]


def _report(several: list[Cells]) -> None:
    """Fail if a promise was broken; the message also says what the others were told."""
    broken = [failure for cells in several for failure in cells.failures]
    assert not broken, "\n".join(
        ["promises were broken:", *broken, "", *(each for cells in several for each in cells.seen)]
    )


async def _called(call: Callable[[], Any]) -> None:
    result = call()
    if inspect.isawaitable(result):
        await result


def _described(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:200]} ({where.filename.rpartition('/')[2]}:{where.lineno})"
