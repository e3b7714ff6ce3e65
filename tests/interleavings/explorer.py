"""Runs a scenario under every schedule: depth first, each state once.

A run is repeated from its start with the choices made so far. Two states are the same if the database, the Hub, the
lines at which every task waits, the values they hold and the ages of what they wait for are the same, or would be if
processes that do the same had each other's names.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.interleavings.fingerprint import State, age, fingerprint
from tests.interleavings.stores import LEASE, Row, Store
from tests.interleavings.strategies import ROOT, Branch, Pruned, Replay, Search, Seen, Strategy, Visited, Walk
from tests.interleavings.virtual_loop import EPOCH, PROCESS, Action, Gate, Step, VirtualLoop
from tests.interleavings.world import Process, World

MOST_STEPS = 1500
"""A run that has not ended by then never ends."""

STARTS = "starts"
"""The first step of each process."""

SHORTEST_STALL = 1.3 * LEASE
"""Long enough for a take-over."""


@dataclass
class Outcome:
    """What a caller got, and when. ``value`` is a token, None or an exception, ``row`` the grant when it last looked."""

    value: Any
    at: float
    row: Row | None


@dataclass
class Run:
    """One schedule and what came of it."""

    world: World
    actions: list[str] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    crashed: dict[str, float] = field(default_factory=dict)
    stalled: dict[str, float] = field(default_factory=dict)
    stalls: int = 0
    longest_stall: float = 0.0
    last: str = ""
    rows: list[Row | None] = field(default_factory=list)
    looked: dict[str, Row | None] = field(default_factory=dict)
    endless: bool = False
    now: float = EPOCH

    @property
    def row(self) -> Row | None:
        """The grant as it is stored now."""
        return next((row for row in self.world.store.rows() if row[0] == self.world.grant), None)

    @property
    def lost(self) -> bool:
        """True if a process was killed with a token in its hands that it had not stored."""
        stored = {row[2] for row in self.rows if row}
        return any(self.world.received.get(process, "access-1") not in stored for process in self.crashed)


Scenario = dict[str, Callable[[Process], Coroutine[Any, Any, Any]]]


@dataclass
class Explorer:
    """Explores a scenario; ``crashes`` and ``stalls`` limit how many of them there are in one run, and how long."""

    scenario: Scenario
    store: Store
    crashes: int = 0
    stalls: int = 0
    longest_stall: float = math.inf
    check: Callable[[Run], list[str]] = lambda run: []
    runs: int = 0
    states: int = 0
    complete: bool = False
    bad: dict[str, list[str]] = field(default_factory=dict)

    def explore(self, *, runs: int | None = None, seconds: float | None = None, seed: int | None = None) -> Explorer:
        """Run every schedule, or as many as ``runs`` or ``seconds`` allow; with a seed, in random order."""
        order = random.Random(seed)
        ends = time.monotonic() + seconds if seconds is not None else math.inf
        most = self.runs + runs if runs is not None else math.inf
        seen = Seen()
        waiting: list[Branch] = [ROOT]
        while waiting and self.runs < most and time.monotonic() < ends:
            position = order.randrange(len(waiting)) if seed is not None else -1
            waiting[position], waiting[-1] = waiting[-1], waiting[position]
            self.go_on(seen, waiting)
        self.states = len(seen)
        self.complete = not waiting
        return self

    def go_on(self, seen: Visited, waiting: list[Branch]) -> None:
        """Run one schedule, from the last branch, and add the branches that it has come by."""
        run = self.run(Search(*waiting.pop(), seen, waiting))
        self.runs += 1
        for fault in self.check(run) if run is not None else ():
            self.note(fault, run.actions)

    def note(self, fault: str, actions: list[str]) -> None:
        """Keep the shortest schedule that has this fault."""
        if len(actions) < len(self.bad.get(fault, range(10**6))):
            self.bad[fault] = actions

    def replay(self, *labels: str) -> Run:
        """Run the schedule that has these actions in this order; what is not named happens as it comes.

        ``a goes on | b does select leases`` waits until the other action could be chosen as well.
        """
        replay = Replay(list(labels))
        run = self.run(replay)
        assert run is not None and replay.labels == [], f"this has not happened: {replay.labels}"
        return run

    def walk(self, seed: int) -> Run:
        """Run one schedule whose every choice is random."""
        run = self.run(Walk(random.Random(seed)))
        assert run is not None
        self.runs += 1
        return run

    def run(self, strategy: Strategy) -> Run | None:
        """Run one schedule to its end; None if it was pruned."""
        run = Run(World(self.store))
        callers: dict[str, asyncio.Task[Any]] = {}
        failures: list[BaseException] = []

        def choose(loop: VirtualLoop) -> None:
            try:
                self._observe(run)
                if step := strategy.known():
                    self._perform(loop, run, self._found(loop, run, step))
                    return
                actions = self._actions(loop, run)
                over = all(task.done() or name in run.crashed for name, task in callers.items())
                if over and not any(gate.process not in run.crashed for gate in loop.gates):
                    loop.stop()
                elif not actions or len(run.actions) > MOST_STEPS:
                    run.endless = True
                    loop.stop()
                else:
                    chosen = actions[strategy.choose(actions, lambda: self._fingerprint(loop, run))]
                    self._perform(loop, run, chosen)
            except BaseException as error:
                failures.append(error)
                loop.stop()

        loop = VirtualLoop(choose)
        asyncio.set_event_loop(loop)
        try:
            for name, make in self.scenario.items():
                context = contextvars.copy_context()
                context.run(PROCESS.set, name)
                process = run.world.process()
                callers[name] = context.run(loop.create_task, self._caller(loop, run, name, make, process))
            loop.run_forever()
        finally:
            loop.finish()
            asyncio.set_event_loop(None)
        if failures and isinstance(failures[0], Pruned):
            return None
        if failures:
            raise failures[0]
        return run

    async def _caller(
        self,
        loop: VirtualLoop,
        run: Run,
        name: str,
        make: Callable[[Process], Coroutine[Any, Any, Any]],
        process: Process,
    ) -> None:
        await loop.step(STARTS, 0.3)
        try:
            value: Any = await make(process)
        except Exception as error:
            value = error
        if not loop.ending:
            run.outcomes[name] = Outcome(value, loop.now, run.looked.get(name))

    def _observe(self, run: Run) -> None:
        row = run.row
        if run.actions and run.actions[-1].endswith("access_tokens"):
            run.looked[run.actions[-1].partition(" ")[0]] = row
        if not run.rows or run.rows[-1] != row:
            run.rows.append(row)

    def _found(self, loop: VirtualLoop, run: Run, step: Step) -> Action:
        kind, process, position = step
        match kind:
            case "does":
                gate = loop.gates[position]
                return Action(kind, process, gate.name, gate=gate)
            case "wakes up":
                return Action(kind, process, timer=self._first_timer(loop, run))
        return Action(kind, process)

    def _first_timer(self, loop: VirtualLoop, run: Run) -> asyncio.TimerHandle | None:
        out = {*run.crashed, *run.stalled}
        loop.timers = [timer for timer in loop.timers if not timer.cancelled()]
        running = (timer for timer in loop.timers if loop.owner(timer) not in out)
        return min(running, key=asyncio.TimerHandle.when, default=None)

    def _actions(self, loop: VirtualLoop, run: Run) -> list[Action]:
        last = run.last
        awake = [gate for gate in loop.gates if gate.process not in run.crashed and gate.process not in run.stalled]
        actions = [
            Action("does", gate.process, gate.name, gate=gate, position=position)
            for position, gate in enumerate(loop.gates)
            if gate in awake and self._in_order(gate, awake)
        ]
        if first := self._first_timer(loop, run):
            # The clock goes on while others are slow or stopped, but only as long as they may be.
            slow = all(first.when() - gate.since <= gate.patience for gate in awake)
            if slow and all(first.when() - since <= self.longest_stall for since in run.stalled.values()):
                actions.append(Action("wakes up", loop.owner(first), timer=first))
        for process, since in run.stalled.items():
            if loop.now >= since + SHORTEST_STALL or not actions:
                actions.append(Action("goes on", process))
        # Others notice a crash or a stall only by what does not come, so one moment for each step is enough.
        if last and last not in run.crashed and last not in run.stalled and self._alive(loop, run, last):
            if len(run.crashed) < self.crashes:
                actions.append(Action("crashes", last))
            if run.stalls < self.stalls:
                actions.append(Action("stalls", last))
        return actions

    def _in_order(self, gate: Gate, awake: list[Gate]) -> bool:
        """Return False for the start of a process that does the same as another one which has not started either.

        Until they have started, nothing but their names tells them apart.
        """
        return gate.name != STARTS or not any(
            other.name == STARTS and other.process < gate.process and self._alike(other.process, gate.process)
            for other in awake
        )

    def _alike(self, one: str, other: str) -> bool:
        return self.scenario[one] is self.scenario[other]

    def _alive(self, loop: VirtualLoop, run: Run, process: str) -> bool:
        return process not in run.outcomes and any(gate.process == process for gate in loop.gates)

    def _perform(self, loop: VirtualLoop, run: Run, action: Action) -> None:
        run.last = action.process
        run.actions.append(str(action))
        match action.kind:
            case "does":
                assert action.gate is not None
                loop.gates.remove(action.gate)
                action.gate.opened.set_result(None)
            case "wakes up":
                assert action.timer is not None
                loop.ring(action.timer)
            case "crashes":
                run.crashed[action.process] = loop.now
            case "stalls":
                run.stalled[action.process] = loop.now
                run.stalls += 1
            case "goes on":
                since = run.stalled.pop(action.process)
                loop.now = max(loop.now, since + SHORTEST_STALL)
                run.longest_stall = max(run.longest_stall, loop.now - since)
                for gate in loop.gates:
                    if gate.process == action.process:
                        gate.since = loop.now

    def _fingerprint(self, loop: VirtualLoop, run: Run) -> State:
        # Where a crash or a stop is still possible, it matters who has just gone on.
        more = len(run.crashed) < self.crashes or run.stalls < self.stalls
        told = {
            process: (
                more and process == run.last,
                process in run.crashed,
                age(loop.now - run.stalled[process]) if process in run.stalled else None,
                type(run.outcomes[process].value).__name__ if process in run.outcomes else None,
            )
            for process in self.scenario
        }
        return fingerprint(
            loop, run.world, alike=self.scenario, told=told, crashed=run.crashed, faults=(len(run.crashed), run.stalls)
        )
