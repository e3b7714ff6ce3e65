"""When two states of a run are the same: the rows, the Hub, the lines at which tasks wait and what they have in hand.

Ages are rounded. How long a caller has waited in all does not count, because it matters only after thirty seconds,
which no run lasts; nor does how long it will pause after its next look, which is an age of its own by then.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Collection, Iterator
from typing import Any

from tests.interleavings.virtual_loop import EPOCH, VirtualLoop
from tests.interleavings.world import World

__all__ = ["age", "fingerprint"]

FAR = 15.0
"""A timer that is so far away will not ring in these runs."""

GRAIN = 0.25
"""Ages that differ by less count as the same: it is how often a lease is renewed, and how often a waiter looks."""


def fingerprint(loop: VirtualLoop, world: World, crashed: Collection[str], faults: str) -> int:
    """Return a number for the state; ``faults`` says what happened to the processes."""
    held = world.store.held()
    names = _Names(loop.now, {(holder, beat) for _, holder, beat in held})
    alive = [(process, task) for process, task in loop.tasks if process not in crashed and not task.done()]
    gates = [gate for gate in loop.gates if gate.process not in crashed]
    timers = [(loop.owner(timer), age(timer.when() - loop.now)) for timer in loop.timers]
    return hash(
        (
            tuple(world.store.rows()),
            tuple(sorted(world.hub.live)),
            tuple(sorted(world.hub.access)),
            tuple((key, names.of(holder)) for key, holder, _ in held),
            tuple((process, tuple(names.frame(frame) for frame in _frames(task))) for process, task in alive),
            tuple(
                sorted((gate.process, gate.name, gate.patience > 0.1 and age(loop.now - gate.since)) for gate in gates)
            ),
            tuple(sorted(each for each in timers if each[0] not in crashed and each[1] < FAR / GRAIN)),
            faults,
        )
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
        self._ids: dict[str, int] = {}

    def of(self, name: str) -> int:
        return self._ids.setdefault(name, len(self._ids))

    def frame(self, frame: Any) -> Any:
        name = frame.f_code.co_name
        values = tuple(
            (local, self.value(value))
            for local, value in sorted(frame.f_locals.items())
            if not (local in ("started", "pause") and name == "once_across_processes") and local != "patience"
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
        if kind == "Lease":
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
        since = min(age(self._now - lease._watched_since), age(lease._seconds)) if still else None
        return self.of(lease._holder), lease._key, still, since, lease.taken_over
