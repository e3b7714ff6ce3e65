"""When two states of a run are the same: the rows, the Hub, the lines at which tasks wait and the values they hold.

Ages are rounded. How long a caller has waited in all does not count, because it matters only after thirty seconds,
which no run lasts; nor does how long it will pause after its next look, which is an age of its own by then.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.interleavings.virtual_loop import EPOCH, VirtualLoop
from tests.interleavings.world import World

__all__ = ["State", "age", "fingerprint"]

FAR = 15.0
"""A timer that is so far away will not ring in these runs."""

GRAIN = 0.25
"""Ages that differ by less count as the same: it is how often a lease is renewed, and how often a waiter looks."""


@dataclass(frozen=True)
class State:
    """A number for the state of a run, and the part that each process plays in it.

    Processes that do the same may have exchanged their parts: then the number is the same.
    """

    number: int
    parts: Mapping[str, str]


def fingerprint(
    loop: VirtualLoop,
    world: World,
    *,
    alike: Mapping[str, object],
    told: Mapping[str, object],
    crashed: Collection[str],
    faults: object,
) -> State:
    """Return the state; ``told`` says what happened to each process, ``faults`` what has happened in all.

    Processes of which ``alike`` says the same do the same.
    """
    held = world.store.held()
    holdings = {(holder, beat) for _, holder, beat in held}
    seen = {process: _Process(loop, process, holdings, process in crashed) for process in alike}
    order = sorted(alike, key=lambda process: (hash((seen[process].seen, told[process])), process))
    parts: dict[str, str] = {}
    for kind in set(alike.values()):
        ordered, named = ([each for each in some if alike[each] is kind] for some in (order, alike))
        parts.update(zip(ordered, named, strict=True))
    ids: dict[str, int] = {}
    number = hash(
        (
            tuple(world.store.rows()),
            tuple(sorted(world.hub.live)),
            tuple(sorted(world.hub.access)),
            tuple((key, ids.setdefault(holder, len(ids))) for key, holder, _ in held),
            tuple(
                (
                    parts[each],
                    told[each],
                    seen[each].seen,
                    tuple(ids.setdefault(id_, len(ids)) for id_ in seen[each].ids),
                )
                for each in sorted(parts, key=parts.__getitem__)
            ),
            faults,
        )
    )
    return State(number, parts)


class _Process:
    """What one process waits for and has in its hands. ``ids`` are those that it knows, by order of appearance."""

    def __init__(self, loop: VirtualLoop, process: str, held: set[tuple[str, int]], crashed: bool) -> None:
        names = _Names(loop.now, held)
        self.ids = names.ids
        self.seen: object = None
        if crashed:
            return
        tasks = [task for owner, task in loop.tasks if owner == process and not task.done()]
        gates = [gate for gate in loop.gates if gate.process == process]
        timers = [age(timer.when() - loop.now) for timer in loop.timers if loop.owner(timer) == process]
        self.seen = (
            tuple(tuple(names.frame(frame) for frame in _frames(task)) for task in tasks),
            tuple(sorted((gate.name, gate.patience > 0.1 and age(loop.now - gate.since)) for gate in gates)),
            tuple(sorted(each for each in timers if each < FAR / GRAIN)),
        )


def age(seconds: float) -> int:
    """Return a duration as it counts in a state."""
    return round(seconds / GRAIN)


def _frames(task: asyncio.Task[Any]) -> Iterator[Any]:
    coro: Any = task.get_coro()
    while coro is not None:
        if inspect.iscoroutine(coro):
            if coro.cr_frame is not None:
                yield coro.cr_frame
            coro = coro.cr_await
        elif inspect.isgenerator(coro):
            yield coro.gi_frame
            coro = coro.gi_yieldfrom
        else:
            return


class _Names:
    """Says what a task has in its hands, with ids by order of appearance and instants relative to now."""

    def __init__(self, now: float, held: set[tuple[str, int]]) -> None:
        self._now = now
        self._held = held
        self.ids: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self.ids.setdefault(name, len(self.ids))

    def frame(self, frame: Any) -> Any:
        name = frame.f_code.co_name
        values = tuple(
            (local, self.value(value))
            for local, value in sorted(frame.f_locals.items())
            if not (local in ("started", "longest") and name == "once_across_processes") and local != "patience"
        )
        return (frame.f_code.co_name, frame.f_lasti, values)

    def value(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return ("ago", age(self._now - value)) if value > EPOCH / 2 else round(value, 2)
        if isinstance(value, str):
            return self.of(value) if len(value) == 36 else value
        kind = type(value).__name__
        if depth > 2:
            return kind
        if kind == "_Holding":
            # What a waiter has seen matters only as long as it is still so.
            return (value.holder, value.beat) in self._held
        if kind in ("GrantLease", "Lease"):
            return self._lease(value)
        if kind in ("StoredToken", "AccessToken", "TokenResponse"):
            slots = getattr(value, "__slots__", None) or vars(value)
            fields = [
                name for name in slots if name not in ("received_at", "expires_at", "refresh_expires_at", "created_at")
            ]
            return (kind, tuple((name, self.value(getattr(value, name, None), depth + 1)) for name in sorted(fields)))
        if isinstance(value, tuple | list):
            return tuple(self.value(each, depth + 1) for each in value)
        return kind

    def _lease(self, lease: Any) -> Any:
        watched = lease._watched
        still = watched is not None and (watched.holder, watched.beat) in self._held
        # Since when matters only while it is still so, and no longer once that is long enough to take it over.
        since = min(age(self._now - lease._watched_since), age(lease._repository.seconds)) if still else None
        return self.of(lease.holder), lease.key, still, since, lease.taken_over
