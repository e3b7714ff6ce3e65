"""How a run chooses: as a list of actions says, at random, or so that every schedule gets its turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.interleavings.fingerprint import State
from tests.interleavings.virtual_loop import Action, Step

__all__ = ["ROOT", "Asleep", "Branch", "Pruned", "Replay", "Search", "Seen", "Strategy", "Visited", "Walk"]

Asleep = frozenset[tuple[str, str, str]]
"""Kind, process and name of actions."""

Branch = tuple[tuple[Step, ...], Asleep]
"""The steps that lead to a schedule that has not been tried, and what is asleep there."""

ROOT: Branch = ((), frozenset())


class Pruned(Exception):
    """The run has reached a state that another one has gone on from."""


class Strategy(Protocol):
    """Chooses the next action of a run."""

    def known(self) -> Step | None:
        """Return the next step if it is known without a look at what else could be done."""

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int: ...


class Visited(Protocol):
    """The states that runs have gone on from."""

    def visit(self, state: int, asleep: Asleep) -> bool:
        """Return False if a run has gone on from there with no more asleep; else take note of it."""


class Seen(dict[int, list[Asleep]]):
    """Keeps the states in memory."""

    def visit(self, state: int, asleep: Asleep) -> bool:
        before = self.setdefault(state, [])
        if any(other <= asleep for other in before):
            return False
        before.append(asleep)
        return True


@dataclass
class Replay:
    """Takes each named action as soon as it is possible; until then, whoever is named next goes on first."""

    labels: list[str]

    def known(self) -> None:
        return None

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        offered = [str(action) for action in actions]
        if not self.labels:
            return 0
        wanted, *others = self.labels[0].split(" | ")
        if {wanted, *others} <= set(offered):
            del self.labels[0]
            return offered.index(wanted)
        others = [index for index, label in enumerate(offered) if label != wanted]
        named = [index for index in others if offered[index].split()[0] == wanted.split()[0]]
        return (named or others or [0])[0]


@dataclass
class Walk:
    """Chooses at random; a crash or a stop now and then, not before every second step."""

    random: random.Random

    def known(self) -> None:
        return None

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        weights = [0.1 if action.kind in ("crashes", "stalls") else 1.0 for action in actions]
        return self.random.choices(range(len(actions)), weights)[0]


@dataclass
class Search:
    """Follows the choices that were made before, then the first way that nobody has gone; notes the others.

    What is asleep has been tried in a run that differs from this one only in the order of things that do not touch
    each other (Godefroid's sleep sets). Processes that do the same may exchange their parts.
    """

    prefix: tuple[Step, ...]
    asleep: Asleep
    seen: Visited
    waiting: list[Branch]
    taken: list[Step] = field(default_factory=list)

    def known(self) -> Step | None:
        if len(self.taken) >= len(self.prefix):
            return None
        self.taken.append(self.prefix[len(self.taken)])
        return self.taken[-1]

    def choose(self, actions: list[Action], state: Callable[[], State]) -> int:
        index = self._branch(state(), actions) if len(actions) > 1 else 0
        self.taken.append(actions[index].step)
        self.asleep = _still(self.asleep, actions[index])
        return index

    def _branch(self, state: State, actions: list[Action]) -> int:
        if not self.seen.visit(state.number, frozenset((k, state.parts[p], name) for k, p, name in self.asleep)):
            raise Pruned
        awake = [index for index, action in enumerate(actions) if action.key not in self.asleep]
        if not awake:
            raise Pruned
        tried = self.asleep
        for index in awake:
            if index != awake[0]:
                self.waiting.append(((*self.taken, actions[index].step), _still(tried, actions[index])))
            tried |= {actions[index].key}
        return awake[0]


def _still(asleep: Asleep, action: Action) -> Asleep:
    """Return what is still asleep after this action: what does not touch the same thing."""
    return frozenset(other for other in asleep if _apart(other, action))


def _apart(other: tuple[str, str, str], action: Action) -> bool:
    """Return True if two steps of different processes have the same outcome in either order."""
    kind, process, name = other
    if process == action.process or not kind == action.kind == "does":
        return False
    first, second = name.split(), action.name.split()
    if {"starts", "hears"} & {first[0], second[0]}:
        return True
    return first[-1] != second[-1] or first[0] == second[0] == "select"
