"""An event loop with a clock of its own, in which a schedule decides what happens next.

Code runs in "processes", which are contexts: every task, timer and step of a process knows its name. When nothing is
ready to run, the loop has come to a choice: which process makes its next step, which one's timer rings, who crashes,
who is stopped for longer than a lease lives, who wakes again.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("process")
EPOCH = 1_000_000.0
"""Where the virtual clock starts; floats of this size are instants, all others are durations."""


class Crashed(BaseException):
    """Ends what a process that was killed would still do. It leaves the process only when the run is over."""


@dataclass(eq=False)
class Gate:
    """A step that a process is about to make; ``patience`` is how long it may take at most."""

    process: str
    name: str
    patience: float
    since: float
    opened: asyncio.Future[None] = field(repr=False)


Step = tuple[str, str, int]
"""An action by kind, process and the position of its gate, by which another run with the same start finds it."""


@dataclass(frozen=True)
class Action:
    """What a schedule can choose. ``gate`` and ``timer`` say which step or timer of the process."""

    kind: str
    process: str
    name: str = ""
    gate: Gate | None = field(default=None, compare=False, repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, compare=False, repr=False)
    position: int = field(default=-1, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.process, self.name

    @property
    def step(self) -> Step:
        return self.kind, self.process, self.position

    def __str__(self) -> str:
        return f"{self.process} {self.kind}" + (f" {self.name}" if self.name else "")


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs everything that is ready, then asks ``choose``. Nothing in it waits for real time."""

    def __init__(self, choose: Callable[[VirtualLoop], None]) -> None:
        super().__init__()
        self.now = EPOCH
        self.gates: list[Gate] = []
        self.timers: list[asyncio.TimerHandle] = []
        self.tasks: list[tuple[str, asyncio.Task[Any]]] = []
        self.ending = False
        self._choose = choose
        self._known: set[int] = set()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self.timers.append(timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        # Every task begins by this, also one that the loop's task factory has not made.
        task = getattr(callback, "__self__", None)
        if isinstance(task, asyncio.Task) and id(task) not in self._known:
            self._known.add(id(task))
            self.tasks.append((context.get(PROCESS, ""), task))
            # The exceptions of a process that was killed are nobody's.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            # The jitter of a poll must not depend on how many others there were.
            random.seed(1)
            self._choose(self)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    async def step(self, name: str, patience: float) -> None:
        """Wait until the schedule lets this process make its step."""
        if self.ending:
            raise Crashed
        gate = Gate(PROCESS.get(), name, patience, self.now, self.create_future())
        self.gates.append(gate)
        try:
            await gate.opened
        finally:
            if gate in self.gates:
                self.gates.remove(gate)

    def owner(self, timer: asyncio.TimerHandle) -> str:
        return timer._context.get(PROCESS, "")  # type: ignore[attr-defined]

    def ring(self, timer: asyncio.TimerHandle) -> None:
        """Let the clock advance to the timer and run it."""
        self.timers.remove(timer)
        self.now = max(self.now, timer.when())
        self._ready.append(timer)  # type: ignore[attr-defined]

    def finish(self) -> None:
        """End every process, so that nothing is left for the next run, and close."""
        self.ending = True
        self._choose = lambda loop: loop.stop()
        for gate in list(self.gates):
            if not gate.opened.done():
                gate.opened.set_exception(Crashed())
        for timer in self.timers:
            if not timer.cancelled():
                self._ready.append(timer)  # type: ignore[attr-defined]
        self.timers.clear()
        # Whoever goes on now runs into the next step, which has an end as well.
        self.run_forever()
        self.close()
